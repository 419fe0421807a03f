"""`true_base.py SDXL|FLUX FOLDER`: a base of the true size with random weights, in bf16, as the libraries draw them.

For speed and memory, which don't ask what a number means. SDXL's UNet has 2.57 B parameters, FLUX.1-dev's transformer 11.9 B: the
sizes are those of the published configurations (stabilityai/stable-diffusion-xl-base-1.0, black-forest-labs/FLUX.1-dev).
"""

import sys
from pathlib import Path

import torch
from bellows_trainer.tiny_base import clip_tokenizer, t5_tokenizer, write_vocabulary
from diffusers import AutoencoderKL, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers import FluxTransformer2DModel, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel


def main():
    family, folder = sys.argv[1].upper(), Path(sys.argv[2])
    torch.manual_seed(20)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        {"SDXL": sdxl, "FLUX": flux}[family](folder)


def sdxl(folder):
    tokenizer = clip_tokenizer()
    large = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    giant = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
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
    StableDiffusionXLPipeline(
        vae=vae(latent_channels=4, scaling_factor=0.13025),
        text_encoder=CLIPTextModel(clip_config(tokenizer, **large, projection_dim=768)),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer, **giant, projection_dim=1280, hidden_act="gelu")),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
        ),
    ).save_pretrained(folder)
    write_vocabulary(tokenizer, folder / "tokenizer", folder / "tokenizer_2")


def flux(folder):
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    t5.model_max_length = 512
    large = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    xxl = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"}
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096
        ),
        vae=vae(latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(clip_config(clip, **large, projection_dim=768)),
        tokenizer=clip,
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=32128, **xxl)),
        tokenizer_2=t5,
        transformer=FluxTransformer2DModel(guidance_embeds=True),
    ).save_pretrained(folder)
    write_vocabulary(clip, folder / "tokenizer")


def vae(**config):
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=1024,
        **config,
    )


def clip_config(tokenizer, **sizes):
    return CLIPTextConfig(
        vocab_size=49408,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )


if __name__ == "__main__":
    main()
