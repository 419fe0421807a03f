"""What the plan means on this machine: device, number format, how the frozen base is kept, memory used."""

import importlib.metadata
import platform
import resource

import diffusers
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from . import base
from .failures import InputFault

tiny = 2**30


def accelerator(job):
    plan = job.plan
    for library in (diffusers, transformers):
        # What is left of stderr when a run fails should say why, not how far a bar had come.
        library.utils.logging.disable_progress_bar()
    refuse_without_gpu(plan)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    elif base.size(job.base) < tiny:
        # Threads that hand each other crumbs wait more than they work, most of all on a busy machine.
        torch.set_num_threads(1)
    group = InitProcessGroupKwargs(backend="nccl" if cuda else "gloo")
    return Accelerator(
        mixed_precision="bf16" if plan.precision == "bf16" else "no",
        cpu=not cuda,
        kwargs_handlers=[group] if job.world > 1 else [],
    )


def refuse_without_gpu(plan):
    if torch.cuda.is_available():
        return
    if plan.quantization != "none":
        raise InputFault(f"A base in {plan.quantization} needs a GPU, and this machine has none.")
    if plan.optimizer.name == "adamw8bit":
        raise InputFault("8-bit AdamW needs a GPU, and this machine has none.")


def weights_type(plan):
    return torch.bfloat16 if plan.precision == "bf16" else torch.float32


def frozen(model_class, job, device, subfolder):
    """The model that the adapter goes into, straight from the mapped file to the device."""
    options = {"dtype": weights_type(job.plan), "device_map": str(device)}
    if job.plan.quantization != "none":
        options["quantization_config"] = _quantization(job.plan)
    model = model_class.from_pretrained(job.base, subfolder=subfolder, use_safetensors=True, **options)
    model.requires_grad_(False)
    if job.plan.gradientCheckpointing:
        model.enable_gradient_checkpointing()
    return model


def _quantization(plan):
    if plan.quantization == "int8":
        from diffusers import TorchAoConfig
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig())
    from diffusers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=weights_type(plan),
    )


def peak_memory():
    """The most bytes held so far: the GPU's, or the process's where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions():
    names = ("torch", "diffusers", "peft", "transformers", "accelerate", "safetensors")
    found = {name: importlib.metadata.version(name) for name in names}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"python": platform.python_version(), **found, "device": device}
