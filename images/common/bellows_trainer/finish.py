"""The end of a good run: the last sample images, and `result.json`, written last and only if all else is there."""

import hashlib
import json
import os
import time
from datetime import datetime, timezone

from . import cache, machine, report, sampling
from .failures import Failure, Interrupted


def last_samples(job, models, sample, step):
    """After the weights are safe. Who is asked to stop here has all that counts, and ends well with fewer images."""
    if not job.plan.samples.prompts:
        return
    job.phase("sampling")
    for model in models:
        model.eval()
    try:
        sample(step)
    except Interrupted:
        report.warning("The last sample images are missing, as the training was asked to stop.")
    except Exception as error:
        sampling.warn_of(error, job)


def write_result(job, trained, names):
    """`names` are the LoRA files in /job/out."""
    if trained.steps < 1:
        raise Failure("No step was trained.")
    now = datetime.now(timezone.utc)
    files = []
    for name in names:
        content = (job.out / name).read_bytes()
        files.append({"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    result = {
        "files": files,
        "samples": sorted(file.relative_to(job.out).as_posix() for file in job.out.glob("samples/*.png")),
        "steps": trained.steps,
        "skippedSteps": trained.skipped_steps,
        "finalLoss": trained.final_loss,
        "secondsPerStep": trained.seconds_per_step,
        "seconds": trained.train_seconds,
        "trainSeconds": trained.train_seconds,
        "wholeSeconds": time.monotonic() - job.began,
        "peakMemoryBytes": machine.peak_memory(),
        "startedAt": job.started_at.isoformat(timespec="milliseconds"),
        "finishedAt": now.isoformat(timespec="milliseconds"),
        "planSha256": job.plan_sha256,
        "versions": machine.versions(),
    }
    cache.remove(job)
    part = job.out / "result.json.part"
    with open(part, "w") as stream:
        json.dump(result, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, job.out / "result.json")
