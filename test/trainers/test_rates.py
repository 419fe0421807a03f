"""Rank and rate mean what they mean in the trainers whose defaults are ours: kohya's sd-scripts, musubi-tuner, ai-toolkit."""

import math
import re

import jobs
import pytest
import torch
from bellows_trainer import adapter
from bellows_trainer.job import Job
from safetensors.torch import load_file
from test_artifact import models_of


class Peer(torch.nn.Module):
    """A LoRA as those trainers begin it: the way down as any linear layer of torch, the way up from zero."""

    def __init__(self, layer, rank, alpha):
        super().__init__()
        down, up = torch.nn.Linear(layer.in_features, rank, bias=False), torch.nn.Linear(rank, layer.out_features, bias=False)
        torch.nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        torch.nn.init.zeros_(up.weight)
        self.layer, self.scale = layer, alpha / rank
        # Under the names by which the trainer saves them.
        self.lora_A, self.lora_B = torch.nn.ModuleDict({"default": down}), torch.nn.ModuleDict({"default": up})

    def forward(self, given, *_):
        return self.layer(given) + self.lora_B["default"](self.lora_A["default"](given)) * self.scale


def add_as_peers_do(model, plan, targets):
    torch.manual_seed(plan.seed + 1)
    pattern = targets[plan.adapter.targets]
    for name, module in list(model.named_modules()):
        if re.fullmatch(pattern, name):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, Peer(module, plan.adapter.rank, plan.adapter.alpha))
    model.train()


def change_after_50_steps(job, rank, before):
    """The norm of all that the trained file adds to the weights."""
    folder = job(
        f"{before.__name__}-{rank}",
        steps=50,
        captionDropout=0,
        adapter={"method": "lora", "rank": rank, "alpha": rank, "targets": "attention"},
        optimizer={"name": "adamw", "learningRate": 1e-4, "weightDecay": 0, "maxGradientNorm": 1},
    )
    assert jobs.run(folder, before)[0] == 0
    total = 0.0
    for file in (folder / "out").glob("*.safetensors"):
        tensors = load_file(file)
        for name in tensors:
            down = re.fullmatch(r"(.+)\.(lora_A|lora_down)\.weight", name)
            if down:
                up = tensors[f"{down[1]}.{'lora_B' if down[2] == 'lora_A' else 'lora_up'}.weight"]
                total += (up @ tensors[name]).norm().item() ** 2
    return math.sqrt(total)


def test_fifty_steps_change_as_much_as_in_the_peers_at_any_rank(job, train):
    def ours():
        pass

    def peers():
        adapter.add = add_as_peers_do

    changes = {rank: [change_after_50_steps(job, rank, way) for way in (ours, peers)] for rank in (4, 16, 64)}
    print("rank: change of ours and of the peers:", changes)
    for own, peer in changes.values():
        assert own == pytest.approx(peer, rel=0.1)


def test_lokr_begins_with_the_second_factor_at_zero_as_lycoris_has_it(job, train, first_base):
    made = Job(job(adapter={"method": "lokr", "rank": 4, "alpha": 4, "targets": "attention"}))
    made.read_plan()
    (model, *_) = models_of(first_base[0], train)
    adapter.add(model, made.plan, train.targets)
    factors = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    zero = {re.search(r"lokr_(w[12](_[ab])?)", name)[1] for name, parameter in factors.items() if not parameter.any()}
    filled = {re.search(r"lokr_(w[12](_[ab])?)", name)[1] for name, parameter in factors.items() if parameter.any()}
    assert zero and zero <= {"w2", "w2_b"} and filled <= {"w1", "w1_a", "w1_b", "w2_a"}
