"""Job folders for the trainers' tests: a tiny base, a small dataset that is drawn here, a plan."""

import hashlib
import importlib
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
        "dataset": {"images": 6, "clips": 0, "sha256": "0" * 64},
        "seed": 7,
        "steps": 6,
        "batchSize": 2,
        "gradientAccumulation": 1,
        "resolutions": [64],
        "clipFrames": 1,
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
    draw_dataset(folder / "dataset", plan["dataset"]["images"], plan["dataset"]["clips"])
    return folder


def draw_dataset(folder, count, clips):
    """Shapes on coloured grounds in three aspect ratios; the last `clips` of them move."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.txt").write_text(f"a white shape on {colours[number % len(colours)]} ground")
        if number >= count - clips:
            draw_clip(folder / f"{number:04}.mp4", colours[number % len(colours)])
            continue
        size = [(96, 96), (128, 80), (80, 128)][number % 3]
        image = Image.new("RGB", size, colours[number % len(colours)])
        corner = 10 + 4 * number
        ImageDraw.Draw(image).ellipse((corner, corner, corner + 40, corner + 30), fill="white", outline="black")
        image.save(folder / f"{number:04}.png")


def draw_clip(file, colour="navy", count=24, rate=24, size=(128, 80), codec="libx264", turned=0, pixels="yuv420p", options=()):
    """`count` frames, `rate` of them a second, of a white square that goes from left to right."""
    from imageio_ffmpeg import get_ffmpeg_exe

    upright = file.with_stem(f"{file.stem}-upright") if turned else file
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{size[0]}x{size[1]}", "-framerate", str(rate)]
    quietly = [get_ffmpeg_exe(), "-loglevel", "error", "-y"]
    coded = ["-i", "pipe:0", *options, "-c:v", codec, "-pix_fmt", pixels, upright]
    with subprocess.Popen([*quietly, *raw, *coded], stdin=subprocess.PIPE) as ffmpeg:
        for number in range(count):
            image = Image.new("RGB", size, colour)
            image.paste("white", (2 * number, 10, 2 * number + 20, 30))
            ffmpeg.stdin.write(image.tobytes())
    assert ffmpeg.returncode == 0
    if turned:
        subprocess.run([*quietly, "-display_rotation", str(turned), "-i", upright, "-c", "copy", file], check=True)
        upright.unlink()


def run_command(folder, **options):
    """The image's own command in a fresh process, imports and all; see `run` for what comes back."""
    command = [sys.executable, "-m", "bellows_trainer", family, "--job", str(folder)]
    done = subprocess.run(command, env={**os.environ, **options}, capture_output=True, text=True)
    print(done.stderr[-3000:])
    return done.returncode, lines_of(done.stdout)


class Fork:
    """A run in a copy of this process, which has imported everything already; it can be watched and killed."""

    def __init__(self, folder, before=lambda: None):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(writing, 1)
            os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            sys.argv = ["bellows_trainer", family, "--job", str(folder)]
            before()
            os._exit(importlib.import_module("bellows_trainer.__main__").main())
        os.close(writing)
        self.folder, self.stdout, self.text = folder, os.fdopen(reading), ""

    def until(self, step):
        """Reads on until that step is reported."""
        for line in self.stdout:
            self.text += line
            if json.loads(line).get("step") == step:
                return self
        raise AssertionError(f"ended before step {step}: {self.text}")

    def signal(self, number):
        os.kill(self.pid, number)
        return self

    def end(self):
        """The exit code (negative for a signal), and the lines of stdout; all of them must be JSON."""
        self.text += self.stdout.read()
        _, status = os.waitpid(self.pid, 0)
        print((self.folder / "stderr").read_text()[-3000:])
        return os.waitstatus_to_exitcode(status), lines_of(self.text)


def run(folder, before=lambda: None):
    return Fork(folder, before).end()


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def of_type(lines, kind):
    return [line for line in lines if line["type"] == kind]


def warnings(lines):
    """All messages but that of the cuts, which sides this small make unavoidable."""
    said = [line["message"] for line in of_type(lines, "warning")]
    return [message for message in said if not message.startswith("More than a tenth is cut off")]


def result(folder):
    return json.loads((folder / "out" / "result.json").read_text())


def sha256(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
