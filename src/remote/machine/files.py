"""Files below a root that a container writes to as well, and what it writes is not to be trusted.

Paths are walked one folder at a time by file descriptor and no link is followed, so that nothing below
the root leads out of it, not even something that is swapped while we look.
"""

import base64
import hashlib
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

from trouble import Trouble, disk_trouble

BLOCK = 1 << 20
PIECE = 30_000
MOST_FILES = 20_000
DEEPEST = 16

UNSAFE = re.compile(r'[\x00-\x1f\x7f\\]')


class OddPath(Trouble):
    def __init__(self, detail: str):
        super().__init__('internal', detail)


def parts_of(path: str) -> list[str]:
    """The names along a path below the root; raises OddPath where it isn't a plain one."""
    parts = path.split('/')
    if not path or len(parts) > DEEPEST or UNSAFE.search(path) or any(part in ('', '.', '..') for part in parts):
        raise OddPath(f'not a plain path: {path[:80]!r}')
    if any(len(os.fsencode(part)) > 240 for part in parts):
        raise OddPath(f'too long a name: {path[:80]!r}')
    return parts


def open_folder(root: str | int, parts: list[str], create: bool = False) -> int:
    """Descriptor of a folder. Whatever stands in the way of one that is to be created is an error."""
    folder = os.dup(root) if isinstance(root, int) else os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        try:
            if create:
                make_folder(folder, part)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def make_folder(folder: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        pass


def open_file(root: str, path: str) -> int:
    """A regular file, to read; FileNotFoundError if it is missing or not one."""
    *folders, name = parts_of(path)
    try:
        folder = open_folder(root, folders)
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise FileNotFoundError(path) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError(path)
    return file


def read(root: str, path: str, most: int, report) -> dict:
    """In pieces, as a line of the helper's answer holds 64 KiB at most."""
    try:
        file = open_file(root, path)
    except FileNotFoundError:
        return {'found': False}
    with os.fdopen(file, 'rb') as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise Trouble('internal', f'{path} is larger than {most} bytes')
    for start in range(0, len(content), PIECE):
        report('content', start=start, base64=base64.b64encode(content[start : start + PIECE]).decode())
    return {'found': True}


def write(root: str, path: str, content: str) -> dict:
    """Whole or not at all."""
    *folders, name = parts_of(path)
    try:
        folder = open_folder(root, folders, create=True)
        remove(folder, name + '.part')
        file = os.open(name + '.part', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
        with os.fdopen(file, 'wb') as stream:
            stream.write(base64.b64decode(content))
        os.replace(name + '.part', name, src_dir_fd=folder, dst_dir_fd=folder)
        os.close(folder)
    except OSError as error:
        raise disk_trouble(error, path) from error
    return {}


def remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def regular_files(root: str, folder: str):
    """(path below the root, status) of the files in a folder; links, devices and odd names are left out."""
    try:
        top = open_folder(root, parts_of(folder))
    except OSError:
        return []
    found = []
    for directory, folders, names, descriptor in os.fwalk('.', dir_fd=top, follow_symlinks=False):
        if directory.count('/') >= DEEPEST:
            folders.clear()
        for name in names:
            path = os.path.normpath(os.path.join(folder, directory, name))
            status = status_of(name, descriptor)
            if status and stat.S_ISREG(status.st_mode) and is_plain(path):
                found.append((path, status))
        if len(found) > MOST_FILES:
            raise Trouble('internal', f'{folder} holds more than {MOST_FILES} files')
    os.close(top)
    return sorted(found, key=lambda pair: pair[0])


def status_of(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_plain(path: str) -> bool:
    try:
        parts_of(path)
        path.encode()
        return True
    except (OddPath, UnicodeEncodeError):
        return False


def list_folder(root: str, folder: str, report) -> dict:
    def summed(entry):
        try:
            file = open_file(root, entry[0])
        except FileNotFoundError:
            return None  # Gone since, or closed to us.
        with os.fdopen(file, 'rb') as stream:
            return {'path': entry[0], 'size': os.fstat(file).st_size, 'sha256': sha256_of(stream)}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for entry in pool.map(summed, regular_files(root, folder)):
            if entry:
                report('file', **entry)
    return {}


def sha256_of(stream, copy=None) -> str:
    """Of what is left in `stream`; it is written to `copy` on the way, if there is one."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(BLOCK))
    while count := stream.readinto(buffer):
        digest.update(buffer[:count])
        if copy:
            copy.write(buffer[:count])
    return digest.hexdigest()
