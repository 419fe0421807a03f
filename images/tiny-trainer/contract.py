"""What a run tells the world: JSON lines on stdout, and how it ended as an exit code."""

import json


def say(**line):
    print(json.dumps(line), flush=True)


class Failure(Exception):
    exit_code, code = 1, "crashed"


class InputFault(Failure):
    """The plan, the dataset or the base is at fault: another machine would find the same."""

    exit_code, code = 64, "bad-input"


class NanLoss(Failure):
    exit_code, code = 65, "nan-loss"


class OutOfMemory(Failure):
    exit_code, code = 66, "out-of-memory"


class DiskFull(Failure):
    exit_code, code = 67, "disk-full"


class Interrupted(Failure):
    """Asked to stop; the checkpoint is saved."""

    exit_code, code = 75, "interrupted"
