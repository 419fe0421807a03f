"""What the encoders make of the dataset, computed once and read from disk, memory-mapped, by every process.

Each process encodes its share and writes one file, whole or not at all; a run that starts again in the same
folder with the same plan finds the files and needs no encoder.
"""

import os
import shutil

from diffusers.training_utils import free_memory
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from . import report


def filled(job, name, items, encode, wait):
    """A list with one dictionary of tensors for each of `items`.

    `encode` is a generator function: given items, it loads its model and yields a dictionary for each in turn;
    the model leaves memory when it ends. `wait` returns when all processes have called it.
    """
    folder = job.folder / "cache" / job.plan_sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}-{rank}-of-{job.world}.safetensors" for rank in range(job.world)]
    if _opened(files[job.rank]) is None:
        tensors, share = {}, items[job.rank :: job.world]
        for index, encoded in enumerate(encode(share)):
            report.progress(f"caching {name}", index + 1, len(share))
            number = job.rank + index * job.world
            tensors.update({f"{number}.{key}": value.cpu().contiguous() for key, value in encoded.items()})
        part = files[job.rank].with_suffix(".part")
        save_file(tensors, part)
        os.replace(part, files[job.rank])
        del tensors
        free_memory()
    wait()
    found = [{} for _ in items]
    for file in files:
        opened = _opened(file)
        for key in opened.keys():
            number, _, tensor_name = key.partition(".")
            found[int(number)][tensor_name] = opened.get_tensor(key)
    return found


def remove(job):
    shutil.rmtree(job.folder / "cache", ignore_errors=True)


def _opened(file):
    try:
        return safe_open(file, framework="pt")
    except (OSError, SafetensorError):
        return None
