"""The smallest trainer that keeps the container's contract (docs/recipes.md), with the standard library alone.

It learns nothing: the loss is a curve, the weights are random numbers of the plan's seed. All else is as in a trainer that
does. A step takes the seconds that the file /job/pace says, or else the variable BELLOWS_TINY_PACE, or else 0.01. Trigger
words that name one of `faults.py` bring it about.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import faults
import lora
from contract import DiskFull, Failure, InputFault, Interrupted, say

job = Path(os.environ.get("BELLOWS_JOB", "/job"))
stopping = False


def main():
    signal.signal(signal.SIGTERM, ask_to_stop)
    began = datetime.now(timezone.utc)
    written = (job / "plan.json").read_bytes()
    plan, plan_sha256 = json.loads(written), hashlib.sha256(written).hexdigest()
    say(type="phase", phase="loading")
    fault = faults.named(plan["triggerWord"])
    fault.at_start(plan)
    check_dataset(plan)
    check_base(plan)

    say(type="phase", phase="training")
    first, seconds_per_step = resumed_step(plan_sha256), pace()
    for step in range(first + 1, plan["steps"] + 1):
        time.sleep(seconds_per_step)
        say(type="step", step=step, total=plan["steps"], loss=loss(step), secondsPerStep=seconds_per_step)
        if step == plan["steps"] or (job / "finish").exists():
            break
        if stopping or step % plan["checkpointEvery"] == 0:
            save_checkpoint(step, plan_sha256)
        if stopping:
            raise Interrupted("The training was asked to stop.")
        if plan["samples"]["every"] and step % plan["samples"]["every"] == 0:
            draw_samples(plan, step)
        if step == max(1, plan["steps"] // 2):
            fault.halfway(first, lambda: save_checkpoint(step, plan_sha256))

    say(type="phase", phase="saving")
    (job / "out").mkdir(exist_ok=True)
    file = job / "out" / f"{plan['name']}.safetensors"
    replace(file, fault.changed(lora.file(plan, plan_sha256)))
    draw_samples(plan, step)
    # Written last: where it exists, all else does.
    write_result(plan, plan_sha256, file, began, step, seconds_per_step)


def ask_to_stop(*_):
    global stopping
    stopping = True


def check_dataset(plan):
    images = [file for file in (job / "dataset").glob("*") if file.suffix != ".txt"]
    if len(images) != plan["dataset"]["images"]:
        raise InputFault(f"The dataset has {len(images)} images where the plan says {plan['dataset']['images']}.")
    for image in images:
        if not image.with_suffix(".txt").exists():
            raise InputFault(f"Image {image.name} has no caption.")


def check_base(plan):
    """A base is named by what `sha256sum` prints for its files in the order of their paths, summed once more."""
    folder = job / "base"
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files = sorted(name for name in names if name != "base.json" and "/." not in f"/{name}")
    listing = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    if hashlib.sha256(listing.encode()).hexdigest() != plan["baseModel"]["sha256"]:
        raise InputFault(f"The base weights are not those of {plan['baseModel']['name']}.")


def pace():
    """Seconds a step."""
    file = job / "pace"
    told = file.read_text() if file.exists() else os.environ.get("BELLOWS_TINY_PACE")
    return float(told or 0.01)


def loss(step):
    return round(0.1 + 0.9 * math.exp(-step / 50), 6)


def resumed_step(plan_sha256):
    """The step of the checkpoint, if there is one of this plan; else 0."""
    for file in (job / "checkpoint").glob("step-*[0-9]/checkpoint.json"):
        kept = json.loads(file.read_text())
        if kept["planSha256"] == plan_sha256:
            return kept["step"]
        say(type="warning", message="The checkpoint belongs to another plan; the training starts over.")
    return 0


def save_checkpoint(step, plan_sha256):
    """Written beside and renamed: a folder that has its final name is whole. The one before goes only then."""
    final = job / "checkpoint" / f"step-{step:06}"
    part = final.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    replace(part / "checkpoint.json", json.dumps({"step": step, "planSha256": plan_sha256}).encode())
    part.replace(final)
    for other in final.parent.iterdir():
        if other != final:
            shutil.rmtree(other)
    say(type="checkpoint", step=step, directory=f"checkpoint/{final.name}")


def draw_samples(plan, step):
    for number in range(len(plan["samples"]["prompts"])):
        file = job / "out" / "samples" / f"{step}-{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, lora.picture(plan["seed"] + number, step / plan["steps"]))
        say(type="sample", step=step, file=file.relative_to(job).as_posix())


def write_result(plan, plan_sha256, file, began, steps, seconds_per_step):
    result = {
        "files": [{"name": file.name, "size": file.stat().st_size, "sha256": lora.sha256(file.read_bytes())}],
        "samples": sorted(sample.relative_to(job / "out").as_posix() for sample in job.glob("out/samples/*.png")),
        "steps": steps,
        "finalLoss": loss(steps),
        "secondsPerStep": seconds_per_step,
        "seconds": seconds_per_step * steps,
        "startedAt": began.isoformat(timespec="milliseconds"),
        "finishedAt": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "planSha256": plan_sha256,
    }
    replace(job / "out" / "result.json", json.dumps(result, indent=2).encode())


def replace(file, content):
    """Writes the file whole or not at all."""
    part = file.with_name(f"{file.name}.part")
    with open(part, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, file)


if __name__ == "__main__":
    try:
        main()
    except Interrupted as stopped:
        sys.exit(stopped.exit_code)
    except Failure as failure:
        say(type="error", message=str(failure), code=failure.code)
        sys.exit(failure.exit_code)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        say(type="error", message="The machine's disk is full.", code=DiskFull.code)
        sys.exit(DiskFull.exit_code)
