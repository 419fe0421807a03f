"""How a run can end other than well: an exit code, a code for programs and a sentence for the user."""

import errno
import shutil


class Failure(Exception):
    exit_code = 1
    code = "crashed"


class InputFault(Failure):
    """The dataset, the plan or the base weights are at fault: the same input fails again on any machine."""

    exit_code = 64
    code = "bad-input"


class NanLoss(Failure):
    exit_code = 65
    code = "nan-loss"


class OutOfMemory(Failure):
    exit_code = 66
    code = "out-of-memory"


class DiskFull(Failure):
    exit_code = 67
    code = "disk-full"


class Interrupted(Failure):
    """Asked to stop. What was trained is in the checkpoint."""

    exit_code = 75
    code = "interrupted"


def classify(error, folder):
    """The `Failure` that `error` amounts to. Libraries wrap the system's errors in their own, so texts count too."""
    if isinstance(error, Failure):
        return error
    text = f"{type(error).__name__}: {error}"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
        return DiskFull("The machine's disk is full.")
    if "file write" in text.lower() or "failed writing file" in text or "write failed" in text:
        if shutil.disk_usage(folder).free < 16 * 2**20:
            return DiskFull("The machine's disk is full.")
    if isinstance(error, MemoryError) or "OutOfMemoryError" in text or "can't allocate memory" in text:
        return OutOfMemory("The machine has too little memory for this training.")
    return Failure("The trainer failed.")
