"""Runs a training and writes what it cost up to its last step: `measure.py REPORT STEPS (-m MODULE | FILE) [ARGUMENT …]`.

Both contenders run under it, so they are measured alike: from outside of their code, at the end of each step of
whatever optimizer they have. What comes after the last step (saving, loading it again) doesn't count.
"""

import json
import resource
import runpy
import sys
import time

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


def main():
    report, steps, *program = sys.argv[1:]
    ends, processor_ends = [], []

    def after_step(optimizer, *_):
        ends.append(time.time())
        processor_ends.append(time.process_time())
        if len(ends) == int(steps):
            times = {"stepEnds": ends, "processorEnds": processor_ends}
            with open(report, "w") as stream:
                json.dump({**times, **memory(), "trainable": trainable(optimizer)}, stream)

    register_optimizer_step_post_hook(after_step)
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(program[0], run_name="__main__")


def memory():
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {"residentBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "gpuBytes": gpu}


def trainable(optimizer):
    """How many numbers are trained: the same for both, or the comparison is none."""
    return sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])


if __name__ == "__main__":
    main()
