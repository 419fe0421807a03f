"""Trains a LoRA for WAN 2.1 or 2.2 text-to-video on clips, and on images: each a clip of one frame.

WAN 2.2 has two experts: `transformer` denoises above the boundary, `transformer_2` below it. They take turns, a step
each, and each gets a file of its own: <name>-high-noise and <name>-low-noise.
"""

import re
from functools import partial

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from diffusers.training_utils import compute_density_for_timestep_sampling

from bellows_trainer import adapter, base, cache, data, finish, keys, loop, machine, report, sampling, times
from bellows_trainer.failures import InputFault

targets = {
    "attention": r"blocks\.\d+\.attn[12]\.(to_q|to_k|to_v|to_out\.0)",
    "all-linear": r"blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ffn\.net\.(0\.proj|2))",
}
# The VAE halves three times, and the transformer takes squares of two.
side_multiple = 16


def main(job):
    plan = job.plan
    index = base.check(job.base, plan, {"WanPipeline"})
    if index.get("expand_timesteps"):
        raise InputFault("WAN 2.2 5B can't be trained: use a 14B or a WAN 2.1 base.")
    accelerator = machine.accelerator(job)
    device, wait = accelerator.device, accelerator.wait_for_everyone

    job.phase("caching")
    pairs = data.read(job.folder / "dataset", plan)
    samples = data.samples(pairs, plan, side_multiple)
    texts = sorted({"", *(pair.caption for pair in pairs), *sampling.prompts(plan)})
    latents = cache.filled(job, "images", samples, partial(encode_images, job.base, device), wait)
    encoded = cache.filled(job, "captions", texts, partial(encode_texts, job.base, plan, device), wait)
    captions = dict(zip(texts, encoded))

    job.phase("loading")
    experts = {}
    ranges = expert_ranges(index)
    for name, low, high in ranges:
        experts[name] = frozen(job, device, name)
        experts[name].noise_range = (low, high)
        adapter.add(experts[name], plan, targets)
        report.progress("loading models", len(experts), len(ranges))
    models = list(experts.values())
    shift = UniPCMultistepScheduler.load_config(job.base, subfolder="scheduler").get("flow_shift", 1.0)
    batches = data.Batches(samples, plan.batchSize, plan.seed)

    def loss_of(indices, generator, step):
        prompts = data.dropped([samples[index].pair.caption for index in indices], plan, generator)
        batch = {
            "latents": torch.stack([latents[index]["latents"] for index in indices]).to(device),
            "text": torch.stack([captions[prompt]["text"] for prompt in prompts]).to(device),
        }
        model = models[step % len(models)]
        return loss(model, batch, generator, shift, *model.noise_range)

    draw = partial(draw_samples, job, experts, captions, device)
    trained = loop.train(job, accelerator, models, batches, loss_of, draw)

    if job.leads:
        job.phase("saving")
        job.out.mkdir(exist_ok=True)
        facts = {"steps": trained.steps, "trainSeconds": trained.train_seconds}
        version = "wan2.2" if len(models) == 2 else "wan2.1"
        names = []
        for model, ending in zip(models, ("-high-noise", "-low-noise") if len(models) == 2 else ("",)):
            file = job.out / f"{plan.name}{ending}.safetensors"
            state = keys.tensors(model, plan, comfy_name, keys.peft_parts)
            keys.save(job, file, state, facts, pairs, {"modelspec": version, "kohya": version})
            names.append(file.name)
        finish.last_samples(job, models, draw, trained.steps)
        finish.write_result(job, trained, names)
    wait()


def expert_ranges(index):
    """Each model's folder, and the noise levels between 0 and 1 that it is for."""
    if index.get("transformer_2", [None, None])[1] is None:
        return [("transformer", 0.0, 1.0)]
    boundary = index["boundary_ratio"]
    return [("transformer", boundary, 1.0), ("transformer_2", 0.0, boundary)]


def frozen(job, device, folder):
    exact = times.loaded_in_float32(WanTransformer3DModel, ["time_embedder"])
    transformer = machine.frozen(exact, job, device, folder)
    times.computed_in_float32(transformer, "condition_embedder.timesteps_proj", ["condition_embedder.time_embedder"])
    return transformer


def encode_images(folder, device, samples):
    """Latents `[16, 1 + (frames - 1) / 4, h/8, w/8]`, each channel with mean 0 and deviation 1."""
    vae = AutoencoderKLWan.from_pretrained(
        folder, subfolder="vae", use_safetensors=True, dtype=torch.float32
    ).to(device)
    means, deviations = (
        torch.tensor(values, device=device).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    for pixels in data.decode(samples):
        with torch.no_grad():
            frames = pixels.view(1, 3, -1, *pixels.shape[-2:])
            latents = vae.encode(frames.to(device)).latent_dist.mode()
        yield {"latents": ((latents - means) / deviations)[0]}


def encode_texts(folder, plan, device, texts):
    """`text` `[512, 4096]` of UMT5, zeros behind its end, in the plan's precision."""
    pipeline = WanPipeline.from_pretrained(
        folder,
        vae=None,
        transformer=None,
        transformer_2=None,
        use_safetensors=True,
        dtype=machine.weights_type(plan),
    ).to(device)
    length = min(512, pipeline.tokenizer.model_max_length)
    for text in texts:
        with torch.no_grad():
            embedded, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False, max_sequence_length=length)
        yield {"text": embedded[0]}


def loss(transformer, batch, generator, shift, low, high):
    """Mean squared error of the velocity `noise - latents` at times between `low` and `high`.

    Times are drawn evenly before the base's own shift moves them towards noise, as its sampler does.
    """
    latents = batch["latents"]
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    even = compute_density_for_timestep_sampling("none", len(latents), generator=generator)
    bottom, top = (level / (shift - (shift - 1) * level) for level in (low, high))
    even = bottom + (top - bottom) * even
    sigmas = (shift * even / (1 + (shift - 1) * even)).to(latents.device)
    noisy = torch.lerp(latents.float(), noise, sigmas.view(-1, 1, 1, 1, 1))
    predicted = transformer(
        hidden_states=noisy.to(batch["text"].dtype), timestep=sigmas * 1000, encoder_hidden_states=batch["text"]
    ).sample
    return F.mse_loss(predicted.float(), (noise - latents).float())


def draw_samples(job, experts, captions, device, step):
    kind = machine.weights_type(job.plan)
    vae = AutoencoderKLWan.from_pretrained(job.base, subfolder="vae", use_safetensors=True, dtype=kind).to(device)
    missing = {"text_encoder": None, "tokenizer": None}
    pipeline = WanPipeline.from_pretrained(
        job.base, vae=vae, use_safetensors=True, **({"transformer_2": None} | experts), **missing
    )
    for number, prompt in enumerate(sampling.prompts(job.plan)):
        sampling.draw(
            job,
            pipeline,
            step,
            number,
            num_frames=1,
            output_type="pil",
            guidance_scale=job.plan.samples.guidance,
            prompt_embeds=captions[prompt]["text"][None].to(device),
            negative_prompt_embeds=captions[""]["text"][None].to(device),
        )


def comfy_name(module):
    """The name in WAN's own code, which is ComfyUI's."""
    name = module.replace("attn1.", "self_attn.").replace("attn2.", "cross_attn.")
    name = re.sub(r"attn\.to_(q|k|v)$", r"attn.\1", name).replace("attn.to_out.0", "attn.o")
    return "diffusion_model." + name.replace("ffn.net.0.proj", "ffn.0").replace("ffn.net.2", "ffn.2")
