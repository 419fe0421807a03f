"""Reads /job/plan.json: the same shape as src/recipes/plan.ts, just as strict, and nothing is guessed."""

import hashlib
import json
import re
from dataclasses import MISSING, dataclass, fields
from typing import Literal, Union, get_args, get_origin, get_type_hints

from .failures import InputFault


@dataclass(frozen=True)
class BaseModel:
    name: str
    sha256: str


@dataclass(frozen=True)
class Dataset:
    images: int
    clips: int
    sha256: str


@dataclass(frozen=True)
class Adapter:
    method: Literal["lora", "lokr"]
    rank: int
    alpha: float
    targets: Literal["attention", "all-linear"]


@dataclass(frozen=True)
class Optimizer:
    name: Literal["adamw", "adamw8bit", "prodigy"]
    learningRate: float
    weightDecay: float
    maxGradientNorm: float


@dataclass(frozen=True)
class Schedule:
    name: Literal["constant", "cosine"]
    warmupSteps: int


@dataclass(frozen=True)
class Samples:
    every: int
    prompts: list[str]
    inferenceSteps: int
    size: int
    guidance: float


@dataclass(frozen=True)
class Plan:
    version: Literal[1]
    trainingId: str
    family: Literal["SDXL", "FLUX", "WAN"]
    name: str
    triggerWord: Union[str, None]
    baseModel: BaseModel
    dataset: Dataset
    seed: int
    steps: int
    batchSize: int
    gradientAccumulation: int
    resolutions: list[int]
    clipFrames: int
    adapter: Adapter
    optimizer: Optimizer
    schedule: Schedule
    captionDropout: float
    flip: bool
    precision: Literal["bf16", "fp32"]
    quantization: Literal["none", "int8", "nf4"]
    gradientCheckpointing: bool
    minSnrGamma: Union[float, None]
    ema: Union[float, None]
    samples: Samples
    checkpointEvery: int


def read(file):
    """The plan in `file`, and the sha256 of the file's bytes, by which checkpoints and artifacts name it."""
    try:
        content = file.read_bytes()
        plan = _shaped(Plan, json.loads(content), "plan")
    except (OSError, ValueError) as error:
        raise InputFault(f"The training plan can't be read: {error}.") from error
    _require(re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", plan.name), "name", "is no file name")
    _require(0 <= plan.seed < 2**31, "seed", "must be between 0 and 2147483647")
    _require(plan.resolutions and min(plan.resolutions) >= 32, "resolutions", "must be 32 or more")
    _require(plan.clipFrames >= 1 and plan.clipFrames % 4 == 1, "clipFrames", "must be one more than a multiple of 4")
    for name in ("steps", "batchSize", "gradientAccumulation", "checkpointEvery"):
        _require(getattr(plan, name) >= 1, name, "must be 1 or more")
    _require(plan.adapter.rank >= 1 and plan.adapter.alpha > 0, "adapter", "needs a rank and an alpha above 0")
    _require(plan.adapter.method != "lokr" or plan.quantization != "nf4", "adapter", "can't be LoKr on a base in nf4")
    _require(plan.optimizer.learningRate > 0, "optimizer.learningRate", "must be above 0")
    _require(0 <= plan.captionDropout <= 1, "captionDropout", "must be between 0 and 1")
    _require(plan.ema is None or 0 < plan.ema < 1, "ema", "must be between 0 and 1")
    return plan, hashlib.sha256(content).hexdigest()


def _require(fulfilled, name, rule):
    if not fulfilled:
        raise InputFault(f"The training plan can't be used: {name} {rule}.")


def _shaped(kind, value, path):
    """`value` as `kind`, a type made of dataclasses, lists, literals and plain types."""
    origin, choices = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in choices or isinstance(value, bool):
            raise ValueError(f"{path} must be one of {', '.join(map(str, choices))}")
        return value
    if origin is Union:
        return None if value is None else _shaped(choices[0], value, path)
    if origin is list:
        if not isinstance(value, list):
            raise ValueError(f"{path} must be a list")
        return [_shaped(choices[0], item, f"{path}[{index}]") for index, item in enumerate(value)]
    if hasattr(kind, "__dataclass_fields__"):
        if not isinstance(value, dict):
            raise ValueError(f"{path} must be an object")
        types = get_type_hints(kind)
        missing = [field.name for field in fields(kind) if field.name not in value and field.default is MISSING]
        unknown = [name for name in value if name not in types]
        if missing or unknown:
            raise ValueError(f"{path} lacks or doesn't know {', '.join(sorted(missing + unknown))}")
        return kind(**{name: _shaped(types[name], item, f"{path}.{name}") for name, item in value.items()})
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{path} must be {'a number' if kind in (int, float) else 'true or false' if kind is bool else 'text'}")
    return kind(value)
