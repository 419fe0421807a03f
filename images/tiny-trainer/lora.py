"""A LoRA file of the right form, written with nothing but the standard library."""

import json
import math
import os
import struct

# For each family: modules as ComfyUI names them, and what a pair of factors is called.
forms = {
    "SDXL": ("lora_unet_mid_block_attentions_0_transformer_blocks_{}_attn1_to_q", "lora_down.weight", "lora_up.weight"),
    "FLUX": ("transformer.transformer_blocks.{}.attn.to_q", "lora_A.weight", "lora_B.weight"),
    "WAN": ("diffusion_model.blocks.{}.self_attn.q", "lora_A.weight", "lora_B.weight"),
}
side = 8


def tensors(plan, progress, zero=False):
    """Name → (shape, numbers). The numbers depend on the seed and on `progress`, so a resumed run can be compared."""
    module, down, up = forms[plan["family"]]
    rank, alpha, method = (plan["adapter"][key] for key in ("rank", "alpha", "method"))
    found = {}
    for block in range(2):
        name = module.format(block)
        shapes = {"lokr_w1": (2, 2), "lokr_w2": (side // 2, side // 2)}
        if method != "lokr":
            shapes = {down: (rank, side), up: (side, rank)}
        if method == "dora":
            shapes["dora_scale"] = (side, 1)
        for part, shape in shapes.items():
            count = math.prod(shape)
            numbers = [0.0 if zero else math.sin(plan["seed"] + progress + block + index) for index in range(count)]
            found[f"{name}.{part}"] = (shape, numbers)
        found[f"{name}.alpha"] = ((), [float(alpha)])
    return found


def save(file, found, metadata):
    """safetensors: the header's length, the header, then float32 numbers one tensor after the other."""
    header, body = {"__metadata__": metadata}, b""
    for name, (shape, numbers) in sorted(found.items()):
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    part = f"{file}.part"
    with open(part, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text + body)
    os.replace(part, file)
