"""What the world hears of a run: one JSON object a line on the real stdout. All that libraries print goes to stderr."""

import json
import os
import sys
import time

_lines = None
_told_at = 0.0
seconds_between_progress = 5


def open_stdout(silent=False):
    """Keeps stdout to ourselves, even from C code. `silent` for all processes but the first of several."""
    global _lines
    _lines = os.fdopen(os.dup(1) if not silent else os.open(os.devnull, os.O_WRONLY), "w", buffering=1)
    sys.stdout.flush()
    os.dup2(2, 1)


def phase(name):
    """`loading`, `caching`, `training`, `sampling` or `saving`."""
    _say(type="phase", phase=name)


def progress(work, done, total):
    """How much of a long work is done; most of it isn't said, but its end always is."""
    global _told_at
    if done < total and time.monotonic() - _told_at < seconds_between_progress:
        return
    _told_at = time.monotonic()
    _say(type="progress", work=work, done=done, total=total)


def step(step, total, loss, seconds_per_step, learning_rate):
    """`loss` is None of a step that was skipped."""
    _say(
        type="step",
        step=step,
        total=total,
        loss=None if loss is None else round(loss, 6),
        secondsPerStep=round(seconds_per_step, 4),
        learningRate=learning_rate,
    )


def sample(step, file):
    """`file` is relative to the job's folder, as is `directory` below."""
    _say(type="sample", step=step, file=str(file))


def checkpoint(step, directory):
    _say(type="checkpoint", step=step, directory=str(directory))


def warning(message):
    _say(type="warning", message=message)


def error(message, code, detail):
    _say(type="error", message=message, code=code, detail=detail)


def _say(**line):
    print(json.dumps(line, ensure_ascii=False), file=_lines or sys.stdout, flush=True)
