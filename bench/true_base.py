"""`true_base.py SDXL|FLUX FOLDER`: a base of the true size with random weights, in bf16, as the libraries draw them.

For speed and memory, which don't ask what a number means. SDXL's UNet has 2.57 B parameters, FLUX.1-dev's transformer 11.9 B: the
sizes are those of the published configurations (stabilityai/stable-diffusion-xl-base-1.0, black-forest-labs/FLUX.1-dev).
"""

import sys
from pathlib import Path

import torch
from bellows_trainer.tiny_base import clip_config, clip_tokenizer, flux_latents, image_vae, save_flux, save_sdxl, t5_tokenizer
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

vae = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 1024}
clip_large = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
clip_giant = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "projection_dim": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
}
t5_xxl = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"}


def main():
    family, folder = sys.argv[1].upper(), Path(sys.argv[2])
    torch.manual_seed(20)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        {"SDXL": sdxl, "FLUX": flux}[family](folder)


def sdxl(folder):
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        attention_head_dim=(5, 10, 20),
        transformer_layers_per_block=(1, 2, 10),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        cross_attention_dim=2048,
    )
    tokenizer = clip_tokenizer()
    first = CLIPTextModel(clip_config(tokenizer, **clip_large))
    second = CLIPTextModelWithProjection(clip_config(tokenizer, **clip_giant))
    save_sdxl(folder, image_vae(**vae, latent_channels=4, scaling_factor=0.13025), unet, first, second, tokenizer)


def flux(folder):
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    t5.model_max_length = 512
    first, second = CLIPTextModel(clip_config(clip, **clip_large)), T5EncoderModel(T5Config(**t5_xxl))
    latents = image_vae(**vae, **flux_latents, scaling_factor=0.3611, shift_factor=0.1159)
    save_flux(folder, latents, FluxTransformer2DModel(guidance_embeds=True), (first, clip), (second, t5))


if __name__ == "__main__":
    main()
