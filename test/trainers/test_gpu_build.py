"""What FLUX and WAN train with unless a job asks otherwise: a quantised base and 8-bit AdamW.

Only the CUDA build has the libraries. That these fit together can be seen without a GPU, once diffusers does not ask for one.
"""

import signal

import jobs
import pytest
import torch
from bellows_trainer import machine
from bellows_trainer.job import Job
from safetensors.torch import load_file
from test_artifact import dataset_batches, evaluate, load_with_diffusers, merge_as_comfyui, models_of
from test_runs import assert_equal, slow_down, weights

pytest.importorskip("bitsandbytes", reason="only the CUDA build has it")

# With a rank that makes a tensor of 4,096 numbers: of smaller ones 8-bit AdamW keeps the state in 32 bits.
usual = {
    "steps": 30,
    "captionDropout": 0,
    "precision": "bf16",
    "gradientCheckpointing": True,
    "adapter": {"method": "lora", "rank": 128, "alpha": 128, "targets": "all-linear"},
    "optimizer": {"name": "adamw8bit", "learningRate": 1e-2, "weightDecay": 0.01, "maxGradientNorm": 1},
}


def without_gpu():
    from diffusers.quantizers.bitsandbytes import BnB4BitDiffusersQuantizer

    machine.refuse_without_gpu = lambda plan: None
    BnB4BitDiffusersQuantizer.validate_environment = lambda *_, **__: None


@pytest.mark.parametrize(
    ("quantization", "method"),
    [("int8", "lora"), ("int8", "lokr"), ("nf4", "lora")],
)
def test_what_was_learned_on_a_quantised_base_is_true_of_the_whole_one(quantization, method, first_base, train, tmp_path):
    folder, digest = first_base
    changes = {"quantization": quantization, "adapter": usual["adapter"] | {"method": method}}
    made = jobs.make(tmp_path / "job", folder, jobs.plan_for(digest, **usual | changes))
    assert jobs.run(made, without_gpu)[0] == 0

    (model,), (file,) = models_of(folder, train), (made / "out").glob("*.safetensors")
    judged = Job(jobs.make(tmp_path / "judged", folder, jobs.plan_for(digest)))
    judged.read_plan()
    batches = dataset_batches(judged, train)
    before = evaluate(train, model, batches, 0, 1)
    if method == "lora":
        load_with_diffusers(model, file, folder)
    else:
        merge_as_comfyui(model, load_file(file), train.comfy_name)
    after = evaluate(train, model, batches, 0, 1)
    print("loss before and after:", before, after)
    assert after < 0.98 * before


def test_a_killed_run_goes_on_with_its_8_bit_state(first_base, train, tmp_path):
    folder, digest = first_base
    plan = jobs.plan_for(digest, **usual | {"steps": 8, "checkpointEvery": 3, "quantization": "int8"})
    whole, killed = (jobs.make(tmp_path / name, folder, plan) for name in ("whole", "killed"))
    assert jobs.run(whole, without_gpu)[0] == 0

    def slowly():
        without_gpu()
        slow_down(train)

    jobs.Fork(killed, slowly).until(step=5).signal(signal.SIGKILL).end()
    (kept,) = (killed / "checkpoint").iterdir()
    state = torch.load(kept / "state.pt", weights_only=True)["optimizer"]["state"]
    packed = [each.get("__bnb_optimizer_quant_state__", {}) for each in state.values()]
    assert any(tensors and tensors["state1"].dtype == torch.uint8 for tensors in packed)
    code, lines = jobs.run(killed, without_gpu)
    assert code == 0 and jobs.of_type(lines, "step")[0]["step"] == 4
    assert_equal(weights(killed), weights(whole))
