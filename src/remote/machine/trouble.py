"""What ends a helper's job. `reason` is one of the worker's own words for failures."""

import errno
import os


class Trouble(Exception):
    def __init__(self, reason, detail):
        super().__init__(detail)
        self.reason = reason


class Spoilt(Trouble):
    """What the store has is not what it should be: missing, cut, changed. Asking again doesn't help."""


class Stopped(Exception):
    """Given up because something else went wrong."""


def disk_trouble(error: OSError, path: str) -> Trouble:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Trouble('disk-full', f'the disk is full: {path} could not be written')
    reason = 'machine-broken' if error.errno in (errno.EIO, errno.EROFS) else 'internal'
    return Trouble(reason, f'{path} could not be written: {os.strerror(error.errno or 0)}')


# Bytes that stay free for logs and results.
reserve = 64 << 20


def check_disk(root: str, needed: int) -> None:
    """Before anything is fetched."""
    disk = os.statvfs(root)
    free = disk.f_bavail * disk.f_frsize
    if needed + reserve > free:
        raise Trouble('disk-full', f'{(needed + reserve) / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free')
