"""`python -m bellows_trainer FAMILY [--job FOLDER]`: runs a family's `train.main` and turns its end into an exit code.

Nothing heavy is imported before signals are handled and stdout is ours: a SIGTERM in the first second counts.
"""

import argparse
import gc
import glob
import importlib
import os
import sys
import traceback
from pathlib import Path

from . import processes, report
from .failures import InputFault, Interrupted, classify
from .job import Job


def main():
    arguments = argparse.ArgumentParser(prog="bellows_trainer")
    arguments.add_argument("family", choices=["sdxl", "flux", "wan"])
    arguments.add_argument("--job", type=Path, default=Path("/job"))
    given = arguments.parse_args()

    gpus = int(os.environ.get("BELLOWS_PROCESSES") or len(glob.glob("/dev/nvidia[0-9]*")))
    if gpus > 1 and "RANK" not in os.environ:
        sys.exit(processes.run_on_each(gpus))

    job = Job(given.job)
    report.open_stdout(silent=not job.leads)
    try:
        job.read_plan()
        if job.plan.family != given.family.upper():
            raise InputFault(f"This image trains {given.family.upper()}, but the plan is for {job.plan.family}.")
        if job.leads:
            job.phase("loading")
        _imported(f"{given.family}.train").main(job)
    except BaseException as error:
        failure = classify(error, job.folder)
        if not isinstance(failure, Interrupted):
            traceback.print_exc()
            report.error(str(failure), failure.code, f"{type(error).__name__}: {error}"[:2000])
        return failure.exit_code
    return 0


def _imported(name):
    """The module, imported without looking for garbage: what comes now stays, and so it is left out of later searches too.

    Of the time to the first step this saves a seventh.
    """
    gc.disable()
    module = importlib.import_module(name)
    gc.freeze()
    gc.enable()
    return module


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Libraries' threads and destructors have nothing left to do, and some take seconds to do it.
    os._exit(code)
