"""One run's surroundings: its folder, its plan, this process's place among the GPUs, and whether to stop.

SIGTERM: before the first step there is nothing to save, so the process leaves at once with 75. From then on
it sets `stopping`; the loop sees that after the step, saves a checkpoint and leaves with 75 too.
"""

import os
import signal
import time
from datetime import datetime, timezone

from . import plan, report
from .failures import Interrupted


class Job:
    def __init__(self, folder):
        self.folder = folder
        self.plan, self.plan_sha256 = None, None
        self.rank = int(os.environ.get("RANK", "0"))
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.started_at = datetime.now(timezone.utc)
        self.began = time.monotonic()
        self.training = False
        self.stopping = False
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)

    @property
    def leads(self):
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def finishing(self):
        """Whether to stop at the steps that are done: the money is nearly used up."""
        return (self.folder / "finish").exists()

    @property
    def base(self):
        return self.folder / "base"

    @property
    def out(self):
        return self.folder / "out"

    def read_plan(self):
        self.plan, self.plan_sha256 = plan.read(self.folder / "plan.json")

    def phase(self, name):
        """What follows belongs to this phase; the clock on stderr shows where time went."""
        if self.leads:
            report.phase(name)
            os.write(2, f"{time.monotonic() - self.began:7.1f} s  {name}\n".encode())

    def stop_if_asked(self):
        """For long work within the training, such as sampling; the loop saves before it lets this through."""
        if self.stopping:
            raise Interrupted("The training was asked to stop.")

    def _stop(self, *_):
        if not self.training:
            os.write(2, b"asked to stop before the first step\n")
            os._exit(Interrupted.exit_code)
        self.stopping = True
