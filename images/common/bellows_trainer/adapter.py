"""The trainable part: peft's LoRA or LoKr on the linear layers that a family names."""

import torch
from diffusers.training_utils import cast_training_params
from peft import LoKrConfig, LoraConfig


def add(model, plan, targets):
    """Puts the adapter into `model`, in float32 and seeded; `targets` maps the plan's choice to a pattern of names.

    It begins as in the trainers that the recipes' rates come from (kohya's sd-scripts, ai-toolkit): what is not zero is drawn as
    torch draws a linear layer, whatever the rank, not from a deviation of 1/rank as diffusers' scripts do.
    """
    torch.manual_seed(plan.seed)
    pattern, chosen = targets[plan.adapter.targets], plan.adapter
    if chosen.method == "lokr":
        config = LoKrConfig(r=chosen.rank, alpha=chosen.alpha, target_modules=pattern, init_weights="lycoris")
    else:
        config = LoraConfig(
            r=chosen.rank,
            lora_alpha=chosen.alpha,
            target_modules=pattern,
            init_lora_weights=True,
        )
    model.add_adapter(config)
    cast_training_params(model, torch.float32)
    model.train()


def parameters(models):
    """The trainable parameters of all `models` in a fixed order."""
    return [parameter for model in models for parameter in model.parameters() if parameter.requires_grad]


def optimizer(plan, trainable):
    settings = {"lr": plan.optimizer.learningRate, "weight_decay": plan.optimizer.weightDecay}
    if plan.optimizer.name == "prodigy":
        from prodigyopt import Prodigy

        return Prodigy(trainable, decouple=True, use_bias_correction=True, safeguard_warmup=True, **settings)
    if plan.optimizer.name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(trainable, **settings)
    return torch.optim.AdamW(trainable, fused=True, **settings)
