"""Job folders for the trainers' tests: a tiny base, a small dataset that is drawn here, a plan."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageDraw

family = os.environ["TRAINER_FAMILY"]
bases = {"sdxl": ["SDXL"], "flux": ["FLUX"], "wan": ["WAN", "WAN2.2"]}[family]
colours = ("crimson", "teal", "gold", "indigo", "olive", "coral", "navy", "plum")


def tiny_base(name, folder):
    """Makes the base in a process of its own, as the project does; returns the sha256 that names it."""
    command = [sys.executable, "-m", "bellows_trainer.tiny_base", name, str(folder)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def plan_for(base_sha256, **changes):
    plan = {
        "version": 1,
        "trainingId": "0" * 23 + "1",
        "family": family.upper(),
        "name": "tiny",
        "triggerWord": "sks",
        "baseModel": {"name": "tiny", "sha256": base_sha256},
        "dataset": {"images": 6, "sha256": "0" * 64},
        "seed": 7,
        "steps": 6,
        "batchSize": 2,
        "gradientAccumulation": 1,
        "resolutions": [64],
        "adapter": {"method": "lora", "rank": 4, "alpha": 2, "targets": "attention"},
        "optimizer": {"name": "adamw", "learningRate": 3e-3, "weightDecay": 0.01, "maxGradientNorm": 1},
        "schedule": {"name": "constant", "warmupSteps": 0},
        "captionDropout": 0.1,
        "flip": False,
        "precision": "fp32",
        "quantization": "none",
        "gradientCheckpointing": False,
        "minSnrGamma": 5 if family == "sdxl" else None,
        "ema": None,
        "samples": {"every": 0, "prompts": [], "inferenceSteps": 2, "size": 64, "guidance": 3},
        "checkpointEvery": 1000,
    }
    return plan | changes


def make(folder, base, plan):
    """A job as the pipeline stages it; `base` is a folder, linked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan, indent=2))
    (folder / "base").symlink_to(base)
    draw_dataset(folder / "dataset", plan["dataset"]["images"])
    return folder


def draw_dataset(folder, count):
    """Shapes on coloured grounds in three aspect ratios."""
    folder.mkdir()
    for number in range(count):
        size = [(96, 96), (128, 80), (80, 128)][number % 3]
        image = Image.new("RGB", size, colours[number % len(colours)])
        corner = 10 + 4 * number
        ImageDraw.Draw(image).ellipse((corner, corner, corner + 40, corner + 30), fill="white", outline="black")
        image.save(folder / f"{number:04}.png")
        (folder / f"{number:04}.txt").write_text(f"a white shape on {colours[number % len(colours)]} ground")


def start(folder, **options):
    command = [sys.executable, "-m", "bellows_trainer", family, "--job", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, **options}
    return subprocess.Popen(command, env=environment, **pipes)


def run(folder, **options):
    """The exit code, and the lines of stdout; all of them must be JSON."""
    process = start(folder, **options)
    out, err = process.communicate()
    print(err[-3000:])
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def of_type(lines, kind):
    return [line for line in lines if line["type"] == kind]


def result(folder):
    return json.loads((folder / "out" / "result.json").read_text())


def sha256(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
