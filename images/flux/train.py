"""Trains a LoRA for FLUX.1: encodes the dataset once, then learns the velocity from data to noise."""

from functools import partial

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel
from diffusers.training_utils import compute_density_for_timestep_sampling

from bellows_trainer import adapter, base, cache, data, finish, keys, loop, machine, report, sampling, times

architecture = {"modelspec": "flux-1-dev", "kohya": "flux1"}
attention = r"attn\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out)"
feed_forward = r"ff(_context)?\.net\.(0\.proj|2)|proj_mlp|proj_out"
targets = {
    "attention": rf"(single_)?transformer_blocks\.\d+\.({attention})",
    "all-linear": rf"(single_)?transformer_blocks\.\d+\.({attention}|{feed_forward})",
}
# The VAE halves three times, and the transformer takes squares of two.
side_multiple = 16
no_encoders = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))


def main(job):
    plan = job.plan
    base.check(job.base, plan, {"FluxPipeline"})
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
    transformer = frozen(job, device, "transformer")
    adapter.add(transformer, plan, targets)
    report.progress("loading models", 1, 1)
    batches = data.Batches(samples, plan.batchSize, plan.seed)

    def loss_of(indices, generator, _step):
        prompts = data.dropped([samples[index].pair.caption for index in indices], plan, generator)
        batch = {
            "latents": torch.stack([latents[index]["latents"] for index in indices]).to(device),
            "text": torch.stack([captions[prompt]["text"] for prompt in prompts]).to(device),
            "pooled": torch.stack([captions[prompt]["pooled"] for prompt in prompts]).to(device),
        }
        return loss(transformer, batch, generator)

    draw = partial(draw_samples, job, transformer, captions, device)
    trained = loop.train(job, accelerator, [transformer], batches, loss_of, draw)

    if job.leads:
        job.phase("saving")
        job.out.mkdir(exist_ok=True)
        facts = {"steps": trained.steps, "trainSeconds": trained.train_seconds}
        file = job.out / f"{plan.name}.safetensors"
        keys.save(job, file, keys.tensors(transformer, plan, comfy_name, keys.peft_parts), facts, pairs, architecture)
        finish.last_samples(job, [transformer], draw, trained.steps)
        finish.write_result(job, trained, [file.name])
    wait()


def frozen(job, device, folder):
    """The transformer itself rounds the time to the latents' type before it is embedded; here it gets it as it was drawn."""
    guided = FluxTransformer2DModel.load_config(job.base, subfolder=folder)["guidance_embeds"]
    names = ["timestep_embedder", "guidance_embedder"] if guided else ["timestep_embedder"]
    transformer = machine.frozen(times.loaded_in_float32(FluxTransformer2DModel, names), job, device, folder)
    drawn = {}

    def keep_time(_module, given, named):
        time = named["timestep"] if "timestep" in named else given[3]
        drawn["time"] = time.float() * 1000

    transformer.register_forward_pre_hook(keep_time, with_kwargs=True)
    transformer.time_text_embed.register_forward_pre_hook(lambda _module, given: (drawn["time"], *given[1:]))
    times.computed_in_float32(transformer, "time_text_embed.time_proj", [f"time_text_embed.{name}" for name in names])
    return transformer


def encode_images(folder, device, samples):
    """Latents `[16, h/8, w/8]`, shifted and scaled."""
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", use_safetensors=True, dtype=torch.float32).to(device)
    for pixels in data.decode(samples):
        with torch.no_grad():
            latents = vae.encode(pixels[None].to(device)).latent_dist.mode()
        yield {"latents": ((latents - vae.config.shift_factor) * vae.config.scaling_factor)[0]}


def encode_texts(folder, plan, device, texts):
    """`text` `[512, 4096]` of T5 and `pooled` `[768]` of CLIP, in the plan's precision. FLUX.1-schnell has 256 tokens."""
    pipeline = FluxPipeline.from_pretrained(
        folder, vae=None, transformer=None, use_safetensors=True, dtype=machine.weights_type(plan)
    )
    pipeline.to(device)
    guided = FluxTransformer2DModel.load_config(folder, subfolder="transformer")["guidance_embeds"]
    length = min(512 if guided else 256, pipeline.tokenizer_2.model_max_length)
    for text in texts:
        with torch.no_grad():
            embedded, pooled, _ = pipeline.encode_prompt(text, None, max_sequence_length=length)
        yield {"text": embedded[0], "pooled": pooled[0]}


def loss(transformer, batch, generator):
    """Mean squared error of the velocity `noise - latents`, at times drawn around the middle (logit-normal).

    Distilled guidance is 1, no guidance, while training.
    """
    latents = batch["latents"]
    count, channels, height, width = latents.shape
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    sigmas = compute_density_for_timestep_sampling("logit_normal", count, 0.0, 1.0, generator=generator)
    sigmas = sigmas.to(latents.device)
    noisy = torch.lerp(latents.float(), noise, sigmas.view(-1, 1, 1, 1)).to(batch["text"].dtype)
    guided = transformer.config.guidance_embeds
    places = {"device": latents.device, "dtype": torch.float32}
    predicted = transformer(
        hidden_states=FluxPipeline._pack_latents(noisy, count, channels, height, width),
        timestep=sigmas,
        guidance=torch.ones(count, **places) if guided else None,
        pooled_projections=batch["pooled"],
        encoder_hidden_states=batch["text"],
        txt_ids=torch.zeros(batch["text"].shape[1], 3, **places),
        img_ids=FluxPipeline._prepare_latent_image_ids(count, height // 2, width // 2, *places.values()),
    ).sample
    target = FluxPipeline._pack_latents(noise - latents, count, channels, height, width)
    return F.mse_loss(predicted.float(), target.float())


def draw_samples(job, transformer, captions, device, step):
    kind = machine.weights_type(job.plan)
    vae = AutoencoderKL.from_pretrained(job.base, subfolder="vae", use_safetensors=True, dtype=kind).to(device)
    pipeline = FluxPipeline.from_pretrained(
        job.base, transformer=transformer, vae=vae, use_safetensors=True, **no_encoders
    )
    for number, prompt in enumerate(sampling.prompts(job.plan)):
        sampling.draw(
            job,
            pipeline,
            step,
            number,
            guidance_scale=job.plan.samples.guidance,
            prompt_embeds=captions[prompt]["text"][None].to(device),
            pooled_prompt_embeds=captions[prompt]["pooled"][None].to(device),
        )


def comfy_name(module):
    return f"transformer.{module}"
