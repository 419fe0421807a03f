"""A LoRA file of the right form and a picture, written byte by byte; equal plans make equal bytes."""

import hashlib
import json
import math
import random
import struct
import zlib

# For each family: two modules as ComfyUI names them, and what the two factors of one are called.
forms = {
    "SDXL": (
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k",
        "lora_down.weight",
        "lora_up.weight",
    ),
    "FLUX": (
        "transformer.transformer_blocks.0.attn.to_q",
        "transformer.single_transformer_blocks.0.attn.to_k",
        "lora_A.weight",
        "lora_B.weight",
    ),
    "WAN": (
        "diffusion_model.blocks.0.self_attn.q",
        "diffusion_model.blocks.1.cross_attn.k",
        "lora_A.weight",
        "lora_B.weight",
    ),
}
width = 16


def file(plan, plan_sha256):
    """The bytes of a safetensors file: the header's length, the header, the numbers of one tensor after the other."""
    kind = "BF16" if plan["precision"] == "bf16" else "F32"
    header, body = {"__metadata__": metadata(plan, plan_sha256)}, b""
    for name, shape, numbers in tensors(plan):
        dtype = kind if shape else "F32"
        data = packed(numbers, dtype)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensors(plan):
    """Name, shape and numbers of each tensor."""
    *modules, down, up = forms[plan["family"]]
    rank, method = plan["adapter"]["rank"], plan["adapter"]["method"]
    for module in modules:
        parts = {down: [rank, width], up: [width, rank]}
        if method == "lokr":
            parts = {"lokr_w1": [4, 4], "lokr_w2": [4, 4]}
        for part, shape in parts.items():
            draw = random.Random(f"{plan['seed']} {module} {part}")
            yield f"{module}.{part}", shape, [draw.gauss(0, 0.02) for _ in range(math.prod(shape))]
        yield f"{module}.alpha", [], [float(plan["adapter"]["alpha"])]


def packed(numbers, dtype):
    data = struct.pack(f"<{len(numbers)}f", *numbers)
    if dtype == "F32":
        return data
    # bfloat16 is the upper half of a float32.
    return b"".join(data[place + 2 : place + 4] for place in range(0, len(data), 4))


def metadata(plan, plan_sha256):
    """What ComfyUI and others show (`ss_*`, `modelspec.*`), and what the artifact gate compares (`bellows.*`)."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(plan["adapter"]["rank"]),
        "ss_network_alpha": str(plan["adapter"]["alpha"]),
        "ss_steps": str(plan["steps"]),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": plan["name"],
        "bellows.training_id": plan["trainingId"],
        "bellows.trigger_word": plan["triggerWord"] or "",
        "bellows.plan_sha256": plan_sha256,
        "bellows.dataset_sha256": plan["dataset"]["sha256"],
        "bellows.base_sha256": plan["baseModel"]["sha256"],
    }


def picture(seed, progress, side=64):
    """A PNG of one colour that comes out of the dark as the training goes on."""
    draw = random.Random(seed)
    colour = bytes(int(progress * draw.randrange(64, 256)) for _ in range(3))
    rows = (b"\0" + colour * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sha256(content):
    return hashlib.sha256(content).hexdigest()
