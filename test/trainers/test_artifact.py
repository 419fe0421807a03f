"""What comes out: it has learned, it is of the accepted form, and others load exactly what was trained."""

import re

import jobs
import pytest
import torch
from bellows_trainer import data, finish
from bellows_trainer.job import Job
from diffusers import DiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

accepted = {
    "sdxl": r"lora_unet_\w+\.(lora_down\.weight|lora_up\.weight|alpha)",
    "flux": r"transformer\.(single_)?transformer_blocks\.\d+\.[\w.]+\.(lora_A\.weight|lora_B\.weight|alpha)",
    "wan": r"diffusion_model\.blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])\.(lora_A\.weight|lora_B\.weight|alpha)",
}[jobs.family]
changes = {"steps": 60, "captionDropout": 0, "optimizer": {"name": "adamw", "learningRate": 1e-2, "weightDecay": 0, "maxGradientNorm": 1}}


class Trained:
    """A run in this very process, so that its models can be looked at afterwards."""

    def __init__(self, folder, train, monkeypatch):
        monkeypatch.setattr(finish, "last_samples", lambda _job, models, *_: setattr(self, "models", models))
        self.job = Job(folder)
        self.job.read_plan()
        train.main(self.job)
        self.files = [folder / "out" / file["name"] for file in jobs.result(folder)["files"]]
        for model in self.models:
            model.eval()


@pytest.fixture(scope="module")
def trained(base, train, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder, digest = base
        made = jobs.make(tmp_path_factory.mktemp("trained") / "job", folder, jobs.plan_for(digest, **changes))
        yield Trained(made, train, patch)


def test_the_loss_falls_clearly_on_fixed_noise(trained, train):
    fresh = models_of(trained.job.base, train)
    batches = dataset_batches(trained.job, train)
    before, after = (
        [evaluate(train, model, batches, number, len(fresh)) for number, model in enumerate(models)]
        for models in (fresh, trained.models)
    )
    print("loss before and after:", before, after)
    for first, last in zip(before, after):
        assert last < 0.97 * first


def test_diffusers_loads_the_file_and_gets_the_trained_output(trained, train):
    fresh = models_of(trained.job.base, train)
    for file, trained_model, model in zip(trained.files, trained.models, fresh):
        without = output(model)
        load_with_diffusers(model, file, trained.job.base)
        with_file = output(model)
        assert (with_file - output(trained_model)).abs().max().item() == 0.0
        assert (with_file - without).abs().max().item() > 1e-3


def test_every_key_is_of_the_form_that_comfyui_loads(trained):
    for file in trained.files:
        tensors = load_file(file)
        modules = {name.rsplit(".lora_", 1)[0] for name in tensors if ".lora_" in name}
        assert len(tensors) == 3 * len(modules) > 0
        for name, tensor in tensors.items():
            assert re.fullmatch(accepted, name), name
            assert torch.isfinite(tensor).all()
            if name.endswith("alpha"):
                assert tensor.item() == 2
            elif re.search("lora_A|lora_down", name):
                assert tensor.shape[0] == 4
            else:
                assert tensor.shape[1] == 4 and tensor.abs().max() > 0


def test_the_header_says_what_it_is_and_what_made_it(trained):
    expected = {
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_num_train_images": "6",
        "ss_steps": "60",
        "modelspec.trigger_phrase": "sks",
        "modelspec.title": "tiny",
        "bellows.trigger_word": "sks",
        "bellows.plan_sha256": jobs.sha256(trained.job.folder / "plan.json"),
        "bellows.base_sha256": trained.job.plan.baseModel.sha256,
        "bellows.dataset_sha256": "0" * 64,
    }
    for file in trained.files:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
        assert {name: metadata.get(name) for name in expected} == expected
        assert "a white shape on teal ground" in metadata["ss_tag_frequency"]


@pytest.mark.skipif(jobs.family != "wan", reason="this family learns from images only")
def test_a_clip_is_learned_beside_images(first_base, train, tmp_path, monkeypatch):
    folder, digest = first_base
    moving = {"dataset": {"images": 6, "clips": 2, "sha256": "0" * 64}, "clipFrames": 9}
    trained = Trained(jobs.make(tmp_path / "job", folder, jobs.plan_for(digest, **changes | moving)), train, monkeypatch)
    batches = [batch for batch in dataset_batches(trained.job, train) if batch["latents"].shape[2] == 3]
    assert len(batches) == 2
    (fresh,) = models_of(folder, train)
    before, after = (evaluate(train, model, batches, 0, 1) for model in (fresh, *trained.models))
    assert after < 0.97 * before


@pytest.mark.skipif(jobs.family != "sdxl", reason="one for all: the seed is set before any family's parts are made")
def test_a_tiny_base_is_the_same_every_time(first_base, tmp_path):
    assert jobs.tiny_base(jobs.bases[0], tmp_path / "again") == first_base[1]


def test_lokr_means_to_comfyui_what_was_trained_and_diffusers_refuses_it(first_base, train, tmp_path, monkeypatch):
    folder, digest = first_base
    adapter = {"method": "lokr", "rank": 4, "alpha": 2, "targets": "all-linear"}
    made = jobs.make(tmp_path / "job", folder, jobs.plan_for(digest, **changes | {"steps": 8, "adapter": adapter}))
    trained = Trained(made, train, monkeypatch)
    model = models_of(folder, train)[0]
    without = output(model)
    merge_as_comfyui(model, load_file(trained.files[0]), train.comfy_name)
    assert (output(model) - without).abs().max().item() > 1e-3
    torch.testing.assert_close(output(model), output(trained.models[0]), rtol=1e-4, atol=1e-4)
    pipeline = DiffusionPipeline.from_pretrained(folder)
    with pytest.raises((ValueError, KeyError)):
        pipeline.load_lora_weights(str(trained.files[0]))


def models_of(folder, train):
    if jobs.family == "sdxl":
        return [train.UNet2DConditionModel.from_pretrained(folder, subfolder="unet").eval()]
    if jobs.family == "flux":
        return [train.FluxTransformer2DModel.from_pretrained(folder, subfolder="transformer").eval()]
    names = [name for name in ("transformer", "transformer_2") if (folder / name).exists()]
    return [train.WanTransformer3DModel.from_pretrained(folder, subfolder=name).eval() for name in names]


def dataset_batches(job, train):
    """Each picture of the dataset eight times, to be met with eight draws of noise and time."""
    device, plan = torch.device("cpu"), job.plan
    pairs = data.read(job.folder / "dataset", plan)
    samples = data.samples(pairs, plan, train.side_multiple)
    texts = train.encode_texts(job.base, plan, device, [pair.caption for pair in pairs])
    latents = train.encode_images(job.base, device, samples)
    batches = []
    for sample, text, latent in zip(samples, texts, latents):
        each = {**text, **latent, **({"time_ids": train.time_ids(sample)} if jobs.family == "sdxl" else {})}
        batches.append({name: tensor.expand(8, *tensor.shape) for name, tensor in each.items()})
    return batches


def evaluate(train, model, batches, number, experts):
    """Mean loss of the base's `number`-th model; the same draws every time."""
    generator = torch.Generator().manual_seed(1)
    low, high = [(0, 1)][number] if experts == 1 else [(0.875, 1), (0, 0.875)][number]
    ways = {
        "sdxl": lambda batch: train.loss(model, noise_schedule(train), batch, generator, None),
        "flux": lambda batch: train.loss(model, batch, generator),
        "wan": lambda batch: train.loss(model, batch, generator, 3.0, low, high),
    }
    with torch.no_grad():
        losses = [ways[jobs.family](batch).item() for batch in batches]
    return sum(losses) / len(losses)


def noise_schedule(train):
    return train.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def example():
    """One input of the right shapes."""
    generator = torch.Generator().manual_seed(2)
    shape = {"sdxl": (1, 4, 8, 8), "flux": (1, 16, 8, 8), "wan": (1, 16, 1, 8, 8)}[jobs.family]
    return {
        "latents": torch.randn(shape, generator=generator),
        "text": torch.randn(1, 16, 64 if jobs.family == "sdxl" else 32, generator=generator),
        "pooled": torch.randn(1, 32, generator=generator),
        "time_ids": torch.tensor([[96.0, 96, 0, 0, 64, 64]]),
    }


def output(model):
    """The model's answer to one fixed input."""
    batch = example()
    with torch.no_grad():
        if jobs.family == "sdxl":
            conditions = {"text_embeds": batch["pooled"], "time_ids": batch["time_ids"]}
            return model(batch["latents"], torch.tensor([500]), batch["text"], added_cond_kwargs=conditions).sample
        if jobs.family == "flux":
            places = {"txt_ids": torch.zeros(16, 3), "img_ids": torch.zeros(16, 3)}
            packed = batch["latents"].reshape(1, 16, 64)
            half, one = torch.tensor([0.5]), torch.ones(1)
            return model(packed, batch["text"], batch["pooled"], half, guidance=one, **places).sample
        return model(batch["latents"], torch.tensor([500.0]), batch["text"]).sample


def load_with_diffusers(model, file, base):
    """Through the pipeline's own loader, which is what people call."""
    import diffusers

    kind = {"sdxl": "StableDiffusionXLPipeline", "flux": "FluxPipeline", "wan": "WanPipeline"}[jobs.family]
    loader = getattr(diffusers, kind)
    state = loader.lora_state_dict(str(file))
    if jobs.family == "sdxl":
        state, alphas = state[:2]
        loader.load_lora_into_unet(state, alphas, model)
    elif jobs.family == "flux":
        state, alphas = loader.lora_state_dict(str(file), return_alphas=True)
        loader.load_lora_into_transformer(state, alphas, model)
    else:
        loader.load_lora_into_transformer(state, model)


def merge_as_comfyui(model, tensors, comfy_name):
    """What ComfyUI's loader does with LoKr keys, in a few lines: weights changed in place."""
    for name, module in model.named_modules():
        alpha = tensors.get(f"{comfy_name(name)}.alpha")
        if alpha is None or not isinstance(module, torch.nn.Linear):
            continue
        part = {key.rsplit(f"{comfy_name(name)}.", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{comfy_name(name)}.")}
        weight = module.weight.data
        whole = "lokr_w2" in part and "lokr_w1" in part
        rank = 1 if whole else part["lokr_w2_b" if "lokr_w2_b" in part else "lokr_w1_b"].shape[0]
        first = part["lokr_w1"] if "lokr_w1" in part else part["lokr_w1_a"] @ part["lokr_w1_b"]
        second = part["lokr_w2"] if "lokr_w2" in part else part["lokr_w2_a"] @ part["lokr_w2_b"]
        weight += torch.kron(first, second).reshape(weight.shape) * (1 if whole else alpha / rank)
