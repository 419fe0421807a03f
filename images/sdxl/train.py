"""Trains a LoRA for SDXL: encodes the dataset once, then denoises with the UNet, whose schedule is the base's own."""

from functools import partial

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from transformers import CLIPTokenizer

from bellows_trainer import adapter, base, cache, data, finish, keys, loop, machine, report, sampling
from bellows_trainer import times, tokens

architecture = {"modelspec": "stable-diffusion-xl-v1-base", "kohya": "sdxl_base_v1-0"}
targets = {
    "attention": r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)",
    "all-linear": r".*\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out)",
}
# The VAE halves three times and the UNet twice.
side_multiple = 32
# Of CLIP's 77, without those that begin and end a text.
most_tokens = 75
no_encoders = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))


def main(job):
    plan = job.plan
    base.check(job.base, plan, {"StableDiffusionXLPipeline"})
    accelerator = machine.accelerator(job)
    device, wait = accelerator.device, accelerator.wait_for_everyone

    job.phase("caching")
    pairs = data.read(job.folder / "dataset", plan)
    tokens.warn_of_long_captions(pairs, CLIPTokenizer.from_pretrained(job.base, subfolder="tokenizer"), most_tokens, "SDXL")
    samples = data.samples(pairs, plan, side_multiple)
    texts = sorted({"", *(pair.caption for pair in pairs), *sampling.prompts(plan)})
    latents = cache.filled(job, "images", samples, partial(encode_images, job.base, device), wait)
    encoded = cache.filled(job, "captions", texts, partial(encode_texts, job.base, plan, device), wait)
    captions = dict(zip(texts, encoded))

    job.phase("loading")
    unet = frozen(job, device, "unet")
    adapter.add(unet, plan, targets)
    report.progress("loading models", 1, 1)
    noise_schedule = DDPMScheduler.from_pretrained(job.base, subfolder="scheduler")
    batches = data.Batches(samples, plan.batchSize, plan.seed)

    def loss_of(indices, generator, _step):
        prompts = data.dropped([samples[index].pair.caption for index in indices], plan, generator)
        batch = {
            "latents": torch.stack([latents[index]["latents"] for index in indices]).to(device),
            "time_ids": torch.stack([time_ids(samples[index]) for index in indices]).to(device),
            "text": torch.stack([captions[prompt]["text"] for prompt in prompts]).to(device),
            "pooled": torch.stack([captions[prompt]["pooled"] for prompt in prompts]).to(device),
        }
        return loss(unet, noise_schedule, batch, generator, plan.minSnrGamma)

    draw = partial(draw_samples, job, unet, captions, device)
    trained = loop.train(job, accelerator, [unet], batches, loss_of, draw)

    if job.leads:
        job.phase("saving")
        job.out.mkdir(exist_ok=True)
        facts = {"steps": trained.steps, "trainSeconds": trained.train_seconds}
        file = job.out / f"{plan.name}.safetensors"
        keys.save(job, file, keys.tensors(unet, plan, comfy_name, keys.kohya_parts), facts, pairs, architecture)
        finish.last_samples(job, [unet], draw, trained.steps)
        finish.write_result(job, trained, [file.name])
    wait()


def frozen(job, device, folder):
    exact = times.loaded_in_float32(UNet2DConditionModel, ["time_embedding"])
    unet = machine.frozen(exact, job, device, folder)
    times.computed_in_float32(unet, "time_proj", ["time_embedding"])
    return unet


def encode_images(folder, device, samples):
    """Latents `[4, h/8, w/8]`, scaled. The VAE is float32: its half-precision overflows."""
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", use_safetensors=True, dtype=torch.float32).to(device)
    for pixels in data.decode(samples):
        with torch.no_grad():
            latents = vae.encode(pixels[None].to(device)).latent_dist.mode()
        yield {"latents": (latents * vae.config.scaling_factor)[0]}


def encode_texts(folder, plan, device, texts):
    """`text` `[77, 2048]` of both encoders and `pooled` `[1280]` of the second, in the plan's precision.

    An empty caption is zeros where the base was trained so, as it is in sampling.
    """
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder, vae=None, unet=None, use_safetensors=True, dtype=machine.weights_type(plan)
    ).to(device)
    for text in texts:
        with torch.no_grad():
            embedded, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
        if text == "" and pipeline.config.force_zeros_for_empty_prompt:
            embedded, pooled = torch.zeros_like(embedded), torch.zeros_like(pooled)
        yield {"text": embedded[0], "pooled": pooled[0]}


def time_ids(sample):
    """What SDXL is told of an image's size: its own, the corner of the cut, the bucket's."""
    return torch.tensor([sample.pair.height, sample.pair.width, *sample.corner, sample.height, sample.width]).float()


def loss(unet, noise_schedule, batch, generator, min_snr_gamma):
    """Mean squared error of the predicted noise (or velocity), min-SNR weighted (arXiv 2303.09556) if there is a gamma."""
    latents = batch["latents"]
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    count = noise_schedule.config.num_train_timesteps
    timesteps = torch.randint(count, (len(latents),), generator=generator).to(latents.device)
    noisy = noise_schedule.add_noise(latents, noise, timesteps)
    conditions = {"text_embeds": batch["pooled"], "time_ids": batch["time_ids"]}
    predicted = unet(noisy.to(batch["text"].dtype), timesteps, batch["text"], added_cond_kwargs=conditions).sample
    velocity = noise_schedule.config.prediction_type == "v_prediction"
    target = noise_schedule.get_velocity(latents, noise, timesteps) if velocity else noise
    errors = F.mse_loss(predicted.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))
    if min_snr_gamma is not None:
        snr = compute_snr(noise_schedule, timesteps)
        errors = errors * snr.clamp(max=min_snr_gamma) / (snr + 1 if velocity else snr)
    return errors.mean()


def draw_samples(job, unet, captions, device, step):
    kind = machine.weights_type(job.plan)
    vae = AutoencoderKL.from_pretrained(job.base, subfolder="vae", use_safetensors=True, dtype=kind).to(device)
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        job.base, unet=unet, vae=vae, use_safetensors=True, **no_encoders
    )
    nothing = captions[""]
    for number, prompt in enumerate(sampling.prompts(job.plan)):
        sampling.draw(
            job,
            pipeline,
            step,
            number,
            guidance_scale=job.plan.samples.guidance,
            prompt_embeds=captions[prompt]["text"][None].to(device),
            pooled_prompt_embeds=captions[prompt]["pooled"][None].to(device),
            negative_prompt_embeds=nothing["text"][None].to(device),
            negative_pooled_prompt_embeds=nothing["pooled"][None].to(device),
        )


def comfy_name(module):
    return "lora_unet_" + module.replace(".", "_")
