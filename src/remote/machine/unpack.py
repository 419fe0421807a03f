"""Tar archives from the store: plain files with plain names come out, anything else is refused.

An archive is unpacked beside its folder and takes its place when it is complete. A stamp below `.staged`
remembers it, so that a folder which the trainer has changed since is not put back.

The trainer runs as another user than the helper. What it goes on writing to, its checkpoint, is opened to it.
"""

import os
import shutil
import tarfile

import files
from trouble import Spoilt

STAMPS = '.staged'
MOST_FILES = 200_000
WRITABLE = 'checkpoint'


def is_unpacked(root: str, target: str, stamp: str) -> bool:
    try:
        file = files.open_file(root, f'{STAMPS}/{target.replace("/", "+")}')
    except FileNotFoundError:
        return False
    with os.fdopen(file) as stream:
        return stream.read() == stamp


def unpack(root: str, archive: str, target: str, stamp: str) -> None:
    *folders, name = files.parts_of(target)
    parent = files.open_folder(root, folders, create=True)
    try:
        clear(parent, name + '.unpacked')
        fresh = files.open_folder(parent, [name + '.unpacked'], create=True)
        try:
            with os.fdopen(files.open_file(root, archive), 'rb') as stream:
                unpack_into(fresh, stream, archive)
            if target == WRITABLE:
                open_to_all(fresh)
        finally:
            os.close(fresh)
        clear(parent, name)
        os.rename(name + '.unpacked', name, src_dir_fd=parent, dst_dir_fd=parent)
        files.remove(parent, name + '.tar')
    except BaseException:
        clear(parent, name + '.unpacked')
        files.remove(parent, name + '.tar')
        raise
    finally:
        os.close(parent)
    write_stamp(root, target, stamp)


def unpack_into(folder: int, stream, archive: str) -> None:
    size = os.fstat(stream.fileno()).st_size
    try:
        with tarfile.open(fileobj=stream, mode='r:') as tar:
            for count, member in enumerate(tar):
                if member.isdir():
                    continue
                path = plain_path(member, size)
                if path is None or count >= MOST_FILES:
                    raise Spoilt('internal', f'{archive} holds something else than plain files: {member.name[:80]!r}')
                write_member(folder, path, tar.extractfile(member), member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Spoilt('internal', f'{archive} is not a whole tar archive: {error}') from error


def open_to_all(folder: int) -> None:
    for _, _, names, descriptor in os.fwalk('.', dir_fd=folder, follow_symlinks=False):
        os.fchmod(descriptor, 0o777)
        for name in names:
            os.chmod(name, 0o666, dir_fd=descriptor)


def plain_path(member: tarfile.TarInfo, most: int) -> list[str] | None:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
        return None
    if not 0 <= member.size <= most:
        return None
    try:
        return files.parts_of(member.name.removeprefix('./'))
    except files.OddPath:
        return None


def write_member(folder: int, path: list[str], source, size: int) -> None:
    *folders, name = path
    inner = files.open_folder(folder, folders, create=True)
    try:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=inner)
    except FileExistsError as error:
        raise Spoilt('internal', f'an archive holds {name!r} twice') from error
    finally:
        os.close(inner)
    with os.fdopen(file, 'wb') as target:
        shutil.copyfileobj(source, target, files.BLOCK)
        if target.tell() != size:
            raise EOFError(f'{name} is cut off')


def write_stamp(root: str, target: str, stamp: str) -> None:
    folder = files.open_folder(root, [STAMPS], create=True)
    name = target.replace('/', '+')
    files.remove(folder, name)
    with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder), 'w') as stream:
        stream.write(stamp)
    os.close(folder)


def clear(parent: int, name: str) -> None:
    """Removes a file, link or folder. The way through /proc is that of the descriptor, links or not."""
    path = f'/proc/self/fd/{parent}/{name}'
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)
