"""The file that comes out: tensors under the names that ComfyUI reads, and a header that says what it is.

ComfyUI drops what it can't match with no more than a log line, and takes alpha from `.alpha` tensors only, so each
module has one. diffusers reads the same files.
"""

import json
import os
import re
from datetime import datetime, timezone

import torch
from safetensors.torch import save_file

from . import data
from .failures import NanLoss

_parameter = re.compile(r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lokr_\w+)\.default(\.weight)?")

peft_parts = {"lora_A": "lora_A.weight", "lora_B": "lora_B.weight"}
kohya_parts = {"lora_A": "lora_down.weight", "lora_B": "lora_up.weight"}


def tensors(model, plan, rename, parts):
    """The adapter of `model`: `rename` turns a module's name into ComfyUI's, `parts` is one of the tables above."""
    found = {}
    for name, parameter in model.named_parameters():
        match = _parameter.fullmatch(name)
        if match and parameter.requires_grad:
            found.setdefault(match["module"], {})[match["part"]] = parameter.detach().float().cpu()
    written = {}
    for module, weights in found.items():
        if "lokr_w1" in weights and "lokr_w2" in weights:
            # Readers scale only where a factor is decomposed; peft scales always.
            weights["lokr_w1"] = weights["lokr_w1"] * (plan.adapter.alpha / plan.adapter.rank)
        for part, weight in weights.items():
            if not torch.isfinite(weight).all():
                raise NanLoss("The trained weights are not finite numbers: the learning rate is too high.")
            written[f"{rename(module)}.{parts.get(part, part)}"] = weight
        written[f"{rename(module)}.alpha"] = torch.tensor(float(plan.adapter.alpha))
    return written


def save(job, file, state, facts, pairs, architecture):
    """Writes `state` to `file`, whole or not at all, in the plan's precision. `architecture`: see `metadata`."""
    kind = torch.bfloat16 if job.plan.precision == "bf16" else torch.float32
    stored = {name: tensor.to(kind if tensor.dim() else torch.float32).contiguous() for name, tensor in state.items()}
    part = file.with_suffix(".part")
    save_file(stored, part, metadata=metadata(job, facts, pairs, architecture))
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.chmod(part, 0o644)  # safetensors writes 0600, and the machine's helper reads it as another user
    os.replace(part, file)


def metadata(job, facts, pairs, architecture):
    """What A1111, ComfyUI and Civitai show of a LoRA (`ss_*` is kohya's, `modelspec.*` Stability's), and our hashes.

    `architecture` has `modelspec` (the model spec's name for the family) and `kohya` (ss_base_model_version).
    """
    plan = job.plan
    side = max(plan.resolutions)
    lokr = plan.adapter.method == "lokr"
    values = {
        "ss_network_module": "lycoris.kohya" if lokr else "networks.lora",
        "ss_network_dim": plan.adapter.rank,
        "ss_network_alpha": plan.adapter.alpha,
        "ss_network_args": json.dumps({"algo": "lokr"} if lokr else {}),
        "ss_base_model_version": architecture["kohya"],
        "ss_sd_model_name": plan.baseModel.name,
        "ss_output_name": plan.name,
        "ss_num_train_images": len(pairs),
        "ss_steps": facts["steps"],
        "ss_max_train_steps": plan.steps,
        "ss_total_batch_size": plan.batchSize * plan.gradientAccumulation,
        "ss_gradient_accumulation_steps": plan.gradientAccumulation,
        "ss_gradient_checkpointing": plan.gradientCheckpointing,
        "ss_learning_rate": plan.optimizer.learningRate,
        "ss_unet_lr": plan.optimizer.learningRate,
        "ss_text_encoder_lr": 0,
        "ss_optimizer": plan.optimizer.name,
        "ss_lr_scheduler": plan.schedule.name,
        "ss_lr_warmup_steps": plan.schedule.warmupSteps,
        "ss_max_grad_norm": plan.optimizer.maxGradientNorm,
        "ss_mixed_precision": plan.precision if plan.precision == "bf16" else "no",
        "ss_resolution": f"({side}, {side})",
        "ss_enable_bucket": True,
        "ss_caption_dropout_rate": plan.captionDropout,
        "ss_min_snr_gamma": plan.minSnrGamma,
        "ss_seed": plan.seed,
        "ss_tag_frequency": json.dumps({"dataset": dict(data.tag_frequency(pairs))}, ensure_ascii=False),
        "ss_training_started_at": job.started_at.timestamp(),
        "ss_training_finished_at": datetime.now(timezone.utc).timestamp(),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture['modelspec']}/lora",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": plan.name,
        "modelspec.trigger_phrase": plan.triggerWord,
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.date": datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None).isoformat(),
        "bellows.training_id": plan.trainingId,
        "bellows.trigger_word": plan.triggerWord or "",
        "bellows.plan_sha256": job.plan_sha256,
        "bellows.dataset_sha256": plan.dataset.sha256,
        "bellows.base_sha256": plan.baseModel.sha256,
        "bellows.train_seconds": round(facts["trainSeconds"], 3),
    }
    return {name: str(value) for name, value in values.items() if value is not None}
