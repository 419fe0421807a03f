"""/job/checkpoint/step-<n>/: what a killed run goes on from, here or on another machine.

A folder is written beside and renamed, so one that has its final name is whole; the one before it is removed only
then. `checkpoint.json` names the plan that it belongs to and the sha256 of its files. No state of a random generator is
kept: every draw depends on the seed and the step alone.
"""

import hashlib
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

from . import report


def save(job, step, trainable, optimizer, schedule, ema, progress):
    """`progress` is kept as it is and comes back from `load`."""
    folder = job.folder / "checkpoint"
    final, part = folder / f"step-{step:06}", folder / f"step-{step:06}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    weights = {f"{index}": parameter.detach().cpu() for index, parameter in enumerate(trainable)}
    save_file(weights, part / "adapter.safetensors")
    state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "ema": ema and ema.state_dict()}
    torch.save(state, part / "state.pt")
    files = {file.name: _sealed(file) for file in part.iterdir()}
    written = {"step": step, "planSha256": job.plan_sha256, "files": files, "progress": progress}
    (part / "checkpoint.json").write_text(json.dumps(written))
    _sealed(part / "checkpoint.json")
    shutil.rmtree(final, ignore_errors=True)
    os.rename(part, final)
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other, ignore_errors=True)
    report.checkpoint(step, final.relative_to(job.folder))


def load(job, trainable, optimizer, schedule, ema):
    """The step to go on from and its `progress`; 0 and `{}` where there is nothing that can be used."""
    folder = job.folder / "checkpoint"
    for candidate in sorted(folder.glob("step-*[0-9]"), reverse=True):
        try:
            return _restore(candidate, job, trainable, optimizer, schedule, ema)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the training can start over
            reason = str(error) if isinstance(error, Unusable) else "it is damaged"
            if job.leads:
                report.warning(f"The checkpoint {candidate.name} can't be used, as {reason}; the training starts over.")
    return 0, {}


class Unusable(Exception):
    pass


def _restore(folder, job, trainable, optimizer, schedule, ema):
    written = json.loads((folder / "checkpoint.json").read_text())
    if written["planSha256"] != job.plan_sha256:
        raise Unusable("it belongs to another plan")
    for name, digest in written["files"].items():
        if _digest(folder / name) != digest:
            raise Unusable("it is damaged")
    weights = load_file(folder / "adapter.safetensors")
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    if [weights[str(index)].shape for index in range(len(weights))] != [each.shape for each in trainable]:
        raise Unusable("it belongs to another adapter")
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    if ema:
        ema.load_state_dict(state["ema"])
        ema.to(device=trainable[0].device)
    for index, parameter in enumerate(trainable):
        parameter.data.copy_(weights[str(index)])
    return written["step"], written["progress"]


def _sealed(file):
    os.chmod(file, 0o644)  # safetensors writes 0600, and the machine's helper reads it as another user
    with open(file, "rb") as stream:
        os.fsync(stream.fileno())
    return _digest(file)


def _digest(file):
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
