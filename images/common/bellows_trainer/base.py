"""Whether /job/base holds the weights that the plan names.

A base is named by its list: what `sha256sum` prints for its files in the order of their paths, summed once more.
Who staged the files has checked each of them, and may leave that list beside the folder as `base.sha256sums`: then it
is enough that it is the right list and that its files are there. Without it, every file is read here.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

from safetensors import SafetensorError, safe_open

from .failures import InputFault

def check(folder, plan, pipelines):
    """Raises `InputFault` unless `folder` is the plan's base and one of `pipelines`; returns its model_index.json."""
    try:
        index = json.loads((folder / "model_index.json").read_text())
    except (OSError, ValueError) as error:
        raise InputFault("The base model's folder has no model_index.json.") from error
    if index.get("_class_name") not in pipelines:
        found = index.get("_class_name")
        raise InputFault(f"The base weights are of another kind: {found} where {' or '.join(pipelines)} belongs.")
    written = folder.with_name(f"{folder.name}.sha256sums")
    listing = written.read_bytes() if written.exists() else file_list(folder)
    if hashlib.sha256(listing).hexdigest() != plan.baseModel.sha256:
        raise InputFault(f"The base weights are not those of {plan.baseModel.name}.")
    for line in listing.decode().splitlines():
        _openable(folder / line.partition("  ")[2])
    return index


def file_list(folder):
    """The list of `folder`. Hidden files and the bucket's own base.json don't count."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files = sorted(name for name in names if name != "base.json" and "/." not in f"/{name}")
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda name: _digest(folder / name), files)
        return "".join(f"{digest}  {name}\n" for digest, name in zip(digests, files)).encode()


def size(folder):
    """Bytes of weights."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def _openable(file):
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt"):
                return
        file.stat()
    except (OSError, SafetensorError) as error:
        raise InputFault(f"The base weights are damaged: {file.name} can't be read.") from error


def _digest(file):
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
