"""Uploads with presigned PUTs: a file in parts, side by side, or a folder as one tar."""

import hashlib
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import files
import web
from trouble import Stopped, Trouble

LARGEST_PUT = 5 << 30


def upload(root: str, job: dict, report, pause: float) -> dict:
    """Reports each part's ETag, in the order of `urls`; each part has `partBytes` but the last."""
    try:
        file = files.open_file(root, job['path'])
    except FileNotFoundError as error:
        raise Trouble('bad-artifact', f'{job["path"]} is not there or not a plain file') from error
    size = os.fstat(file).st_size
    part_bytes, urls = job['partBytes'], job['urls']
    if len(urls) != max(1, -(-size // part_bytes)):
        raise Trouble('internal', f'{job["path"]} has {size} bytes, which is not what its upload was begun for')
    sent = [0] * len(urls)
    stop = threading.Event()

    def send(index: int) -> str:
        start = index * part_bytes
        length = min(part_bytes, size - start)

        def body():
            sent[index] = 0
            for position in range(start, start + length, files.BLOCK):
                block = os.pread(file, min(files.BLOCK, start + length - position), position)
                yield block
                sent[index] += len(block)

        try:
            return web.persistently(lambda: put(urls[index], length, body), pause, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(min(len(urls), max(8, 2 * (os.cpu_count() or 1)))) as pool:
        parts = [pool.submit(send, index) for index in range(len(urls))]
        while not all(part.done() for part in parts):
            report('progress', bytes=sum(sent), totalBytes=size)
            wait(parts, timeout=0.5)
    troubles = [part.exception() for part in parts if part.exception()]
    if troubles:
        raise next((trouble for trouble in troubles if not isinstance(trouble, Stopped)), troubles[0])
    report('progress', bytes=size, totalBytes=size)
    for index, part in enumerate(parts):
        report('part', index=index, etag=part.result())
    return {}


def put(url: str, length: int, body) -> str:
    response = web.ask('PUT', url, {'Content-Length': str(length)}, body)
    response.read()
    etag = response.headers.get('ETag')
    if not etag:
        raise web.Passing(f'{web.place(url)} took a part and named no ETag')
    return etag


def upload_folder(root: str, job: dict, pause: float) -> dict:
    for _ in range(5):
        snapshot = Snapshot(root, job['folder'])
        if snapshot.is_of_one_moment:
            break
        snapshot.close()
    else:
        raise Trouble('internal', f'{job["folder"]} did not hold still long enough to be read')
    if snapshot.size > LARGEST_PUT:
        raise Trouble('store-failed', f'{job["folder"]} has {snapshot.size / 1e9:.1f} GB, more than one PUT takes')

    def attempt() -> str:
        digest = hashlib.sha256()
        put(job['url'], snapshot.size, lambda: snapshot.tar(digest))
        return digest.hexdigest()

    try:
        return {'size': snapshot.size, 'sha256': web.persistently(attempt, pause)}
    finally:
        snapshot.close()


def moment(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


class Snapshot:
    """The files of a folder, open: what the trainer removes or replaces meanwhile stays readable."""

    def __init__(self, root: str, folder: str):
        listed = files.regular_files(root, folder)
        self.entries = []
        for path, status in listed:
            try:
                file = files.open_file(root, path)
            except FileNotFoundError:
                break
            info = tarfile.TarInfo(path.removeprefix(folder + '/'))
            info.size = status.st_size
            self.entries.append((info.tobuf(tarfile.PAX_FORMAT), file, info.size))
        opened = [moment(os.fstat(file)) for _, file, _ in self.entries]
        again = [(path, moment(status)) for path, status in files.regular_files(root, folder)]
        self.is_of_one_moment = (
            again == [(path, moment(status)) for path, status in listed]
            and opened == [seen for _, seen in again]
        )
        self.size = 1024 + sum(len(head) + size + -size % 512 for head, _, size in self.entries)

    def tar(self, digest):
        for block in self.blocks():
            digest.update(block)
            yield block

    def blocks(self):
        for head, file, size in self.entries:
            yield head
            for position in range(0, size, files.BLOCK):
                block = os.pread(file, min(files.BLOCK, size - position), position)
                if len(block) < min(files.BLOCK, size - position):
                    raise Trouble('internal', 'a file got shorter while it was sent')
                yield block
            yield bytes(-size % 512)
        yield bytes(1024)

    def close(self) -> None:
        for _, file, _ in self.entries:
            os.close(file)
