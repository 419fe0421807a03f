"""`python -m bellows_trainer.tiny_base FAMILY FOLDER`: a tiny base model with random weights, the same every time.

It has every part that the real one has, in diffusers' layout, so training, saving and loading run the real code in
seconds on a CPU. What it draws is noise. Prints the sha256 that names it (see base.py). Families: SDXL, FLUX, WAN (2.1), WAN2.2 (two experts).
"""

import hashlib
import json
import sys
from pathlib import Path

import torch

from . import base

def main():
    family, folder = sys.argv[1].upper(), Path(sys.argv[2])
    torch.manual_seed(20)
    torch.set_num_threads(1)
    {"SDXL": sdxl, "FLUX": flux, "WAN": wan, "WAN2.2": wan22}[family](folder)
    print(hashlib.sha256(base.file_list(folder)).hexdigest())


def sdxl(folder):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    vae = image_vae(**tiny_vae)
    scaled_from_data(vae)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(4, 8, 8),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
        cross_attention_dim=64,
        norm_num_groups=8,
    )
    tokenizer = clip_tokenizer()
    first = CLIPTextModel(clip_config(tokenizer, **tiny_clip(tokenizer)))
    second = CLIPTextModelWithProjection(clip_config(tokenizer, **tiny_clip(tokenizer)))
    save_sdxl(folder, vae, unet, first, second, tokenizer)


def save_sdxl(folder, vae, unet, first, second, tokenizer):
    """With the published base's schedule; both encoders share the tokenizer."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    schedule = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=schedule,
    ).save_pretrained(folder)
    write_vocabulary(tokenizer, folder / "tokenizer", folder / "tokenizer_2")


tiny_vae = {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 64}


def image_vae(**sizes):
    """SDXL's and FLUX's: it halves three times."""
    from diffusers import AutoencoderKL

    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return AutoencoderKL(**kinds, **sizes)


def tiny_clip(tokenizer):
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4}
    return {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "projection_dim": 32, **layers}


def clip_config(tokenizer, **sizes):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )


def clip_tokenizer():
    """Bytes for words: each byte inside a word and at its end is a token, as before the first merge of the real one."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def write_vocabulary(tokenizer, *folders):
    """The two files that older readers want beside tokenizer.json."""
    vocabulary = dict(sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]))
    for folder in folders:
        (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
        (folder / "merges.txt").write_text("#version: 0.2\n")


def scaled_from_data(vae):
    """Gives a random VAE latents of mean 0 and deviation 1, as a trained one has; else there is nothing to learn."""
    with torch.no_grad():
        latents = vae.encode(pictures()).latent_dist.mode()
    shifts = vae.config.shift_factor is not None
    vae.register_to_config(scaling_factor=1 / latents.std().item())
    if shifts:
        vae.register_to_config(shift_factor=latents.mean().item())


def pictures(count=8, side=64):
    """Smooth random pictures from -1 to 1."""
    coarse = torch.rand(count, 3, 4, 4) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(-1, 1)


def flux(folder):
    from diffusers import FluxTransformer2DModel
    from transformers import CLIPTextModel, T5Config, T5EncoderModel

    vae = image_vae(**tiny_vae, **flux_latents, shift_factor=0.0)
    scaled_from_data(vae)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    first, second = CLIPTextModel(clip_config(clip, **tiny_clip(clip))), T5EncoderModel(T5Config(**t5_sizes(t5)))
    save_flux(folder, vae, transformer, (first, clip), (second, t5))


flux_latents = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}


def save_flux(folder, vae, transformer, first, second):
    """With the published base's schedule; `first` and `second` are an encoder and its tokenizer each."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    schedule = FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096
    )
    (clip_encoder, clip), (t5_encoder, t5) = first, second
    FluxPipeline(
        scheduler=schedule,
        vae=vae,
        text_encoder=clip_encoder,
        tokenizer=clip,
        text_encoder_2=t5_encoder,
        tokenizer_2=t5,
        transformer=transformer,
    ).save_pretrained(folder)
    write_vocabulary(clip, folder / "tokenizer")


def wan(folder, experts=1):
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
    )
    with torch.no_grad():
        latents = vae.encode(pictures()[:, :, None]).latent_dist.mode()
    means, deviations = latents.mean(dim=(0, 2, 3, 4)), latents.std(dim=(0, 2, 3, 4))
    vae.register_to_config(latents_mean=means.tolist(), latents_std=deviations.tolist())

    def expert():
        return WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            text_dim=32,
            freq_dim=32,
            ffn_dim=64,
            num_layers=2,
            rope_max_seq_len=64,
        )

    tokenizer = t5_tokenizer()
    WanPipeline(
        tokenizer=tokenizer,
        text_encoder=UMT5EncoderModel(UMT5Config(**t5_sizes(tokenizer))),
        vae=vae,
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        transformer=expert(),
        transformer_2=expert() if experts == 2 else None,
        boundary_ratio=0.875 if experts == 2 else None,
    ).save_pretrained(folder)


def wan22(folder):
    wan(folder, experts=2)


def t5_tokenizer():
    from transformers import T5TokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(chr(code), -3.0) for code in range(33, 127)]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, additional_special_tokens=["<extra_id_0>"], model_max_length=64)


def t5_sizes(tokenizer):
    return {
        "vocab_size": len(tokenizer),
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
    }


if __name__ == "__main__":
    main()
