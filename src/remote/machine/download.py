"""Downloads by parallel ranges.

Every file is a row of chunks; the chunks of all files, in order, are one queue that a few connections work
off, so one large file and many small ones are both fast. A file is written as `<name>.part`, with the
chunks that are done noted in `<name>.part.done`: a later download resumes from there. The sum is
computed while chunks arrive, over the part that is complete from the start. Then it is renamed.
"""

import fcntl
import hashlib
import http.client
import os
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import files
import unpack
import web
from trouble import Spoilt, Stopped, Trouble, check_disk, disk_trouble

CHUNK = 16 << 20

# Where a machine's image may have files already, each named by its sha256.
SHELF = '/opt/bellows/weights'


def download(root: str, wanted: list[dict], report, pause: float, shelf: str) -> dict:
    fetches = [Fetch(root, one) for one in wanted]
    if len({fetch.path for fetch in fetches}) < len(fetches):
        raise Trouble('internal', 'two files are to be fetched to the same place')
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        there = list(pool.map(Fetch.is_there, fetches))
        missing = [fetch for fetch, done in zip(fetches, there) if not done]
        check_disk(root, sum(fetch.needed() for fetch in missing))
        taken = list(pool.map(lambda fetch: fetch.take_from(shelf), missing))
    missing = [fetch for fetch, done in zip(missing, taken) if not done]
    progress = Progress(sum(fetch.size for fetch in fetches), report)
    progress.add(progress.total - sum(fetch.size for fetch in missing))
    insist([fetch for fetch in missing if not fetch.may_spoil], progress, pause)
    for fetch in missing:
        if fetch.may_spoil:
            try:
                insist([fetch], progress, pause)
            except Spoilt:
                fetch.clear()
                report('spoilt', path=fetch.target)
    progress.tell()
    return {}


def insist(fetches: list['Fetch'], progress: 'Progress', pause: float) -> None:
    for _ in range(2):
        fetches = transfer(fetches, progress, pause)
        if not fetches:
            return
    raise Spoilt('store-failed', f'{fetches[0].path} came with another sum than it should have, twice')


def transfer(fetches: list['Fetch'], progress: 'Progress', pause: float) -> list['Fetch']:
    """Returns those that came whole, but with a wrong sum; nothing of them is left."""
    chunks: queue.SimpleQueue = queue.SimpleQueue()
    stop = threading.Event()
    troubles: list[BaseException] = []
    wrong: list[Fetch] = []

    def guarded(work):
        def run():
            try:
                work()
            except BaseException as error:
                if not isinstance(error, Stopped):
                    troubles.append(error)
                stop.set()
                for fetch in fetches:
                    fetch.wake()

        return run

    def fetch_chunks():
        buffer = memoryview(bytearray(files.BLOCK))
        while not stop.is_set():
            try:
                fetch, index = chunks.get_nowait()
            except queue.Empty:
                return
            fetch.fetch_chunk(index, buffer, progress, pause, stop)

    def finish_files():
        while not stop.is_set():
            try:
                fetch = unfinished.get_nowait()
            except queue.Empty:
                return
            if not fetch.finish(stop) and not stop.is_set():
                progress.add(-fetch.size)
                wrong.append(fetch)

    unfinished: queue.SimpleQueue = queue.SimpleQueue()
    for fetch in fetches:
        progress.add(fetch.start())
        unfinished.put(fetch)
        for index in fetch.missing_chunks():
            chunks.put((fetch, index))
    # On a fast network a connection is limited by its own round trips, then by the cores that decrypt.
    connections = min(32, max(8, 4 * (os.cpu_count() or 1)), chunks.qsize())
    threads = [threading.Thread(target=guarded(fetch_chunks), daemon=True) for _ in range(connections)]
    threads += [threading.Thread(target=guarded(finish_files), daemon=True) for _ in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        next(thread for thread in threads if thread.is_alive()).join(0.5)
        progress.tell()
    if troubles:
        raise troubles[0]
    return wrong


class Progress:
    def __init__(self, total: int, report):
        self.total = total
        self.bytes = 0
        self.report = report
        self.lock = threading.Lock()

    def add(self, count: int) -> None:
        with self.lock:
            self.bytes += count

    def tell(self) -> None:
        self.report('progress', bytes=self.bytes, totalBytes=self.total)


class Fetch:
    def __init__(self, root: str, wanted: dict):
        self.root = root
        self.url = wanted['url']
        self.size = wanted['size']
        self.sha256 = wanted.get('sha256')
        self.unpack = wanted.get('unpack', False)
        self.may_spoil = wanted.get('maySpoil', False)
        self.target = wanted['path']
        self.path = self.target + '.tar' if self.unpack else self.target
        *self.folders, self.name = files.parts_of(self.path)
        self.count = -(-self.size // CHUNK)
        self.done: set[int] = set()
        self.changed = threading.Condition()

    def is_there(self) -> bool:
        if self.unpack:
            return unpack.is_unpacked(self.root, self.target, self.stamp())
        try:
            file = files.open_file(self.root, self.path)
        except FileNotFoundError:
            return False
        with os.fdopen(file, 'rb') as stream:
            if os.fstat(file).st_size != self.size:
                return False
            return self.sha256 is None or files.sha256_of(stream) == self.sha256

    def stamp(self) -> str:
        return f'{self.size} {self.sha256 or "-"}'

    def needed(self) -> int:
        """Bytes of disk that are still to be used: an archive and its content are there together."""
        try:
            file = files.open_file(self.root, self.path + '.part')
            have = os.fstat(file).st_blocks * 512
            os.close(file)
        except FileNotFoundError:
            have = 0
        return max(0, self.size - have) + (self.size if self.unpack else 0)

    def take_from(self, shelf: str) -> bool:
        """Copies the file from there; false if it isn't there, or has not the sum that it is named by."""
        if self.unpack or self.sha256 is None:
            return False
        try:
            source = open(os.path.join(shelf, self.sha256), 'rb')
        except OSError:
            return False
        taken = self.name + '.taken'
        try:
            with source:
                folder = files.open_folder(self.root, self.folders, create=True)
                files.remove(folder, taken)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with os.fdopen(os.open(taken, flags, 0o644, dir_fd=folder), 'wb') as target:
                    right = files.sha256_of(source, copy=target) == self.sha256
            if right:
                os.replace(taken, self.name, src_dir_fd=folder, dst_dir_fd=folder)
                files.remove(folder, self.name + '.part')
                files.remove(folder, self.name + '.part.done')
            else:
                files.remove(folder, taken)
            os.close(folder)
        except OSError as error:
            raise disk_trouble(error, self.path) from error
        return right

    def start(self) -> int:
        """Opens the partial file; returns how many bytes of it are there already."""
        try:
            self.folder = files.open_folder(self.root, self.folders, create=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            self.part = os.open(self.name + '.part', flags, 0o644, dir_fd=self.folder)
            self.notes = os.open(self.name + '.part.done', flags | os.O_APPEND, 0o644, dir_fd=self.folder)
            self.lock()
            os.ftruncate(self.part, self.size)
            self.read_notes()
        except OSError as error:
            raise disk_trouble(error, self.path) from error
        return sum(self.length(index) for index in self.done)

    def lock(self) -> None:
        """A helper whose caller is gone may still hold it; it ends when sshd notices, two minutes at most."""
        until = time.monotonic() + 150
        while True:
            try:
                return fcntl.flock(self.part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise Trouble('internal', f'{self.path} is being fetched by another download') from error
                time.sleep(0.2)

    def read_notes(self) -> None:
        notes = os.pread(self.notes, 1 << 20, 0).decode('ascii', 'replace').split('\n')
        if notes[0] != self.stamp():
            os.ftruncate(self.notes, 0)
            os.write(self.notes, (self.stamp() + '\n').encode())
            notes = []
        # A last line without its end was never finished.
        self.done = {int(line) for line in notes[1:-1] if line.isdigit() and int(line) < self.count}

    def missing_chunks(self) -> list[int]:
        return [index for index in range(self.count) if index not in self.done]

    def length(self, index: int) -> int:
        return min(CHUNK, self.size - index * CHUNK)

    def fetch_chunk(self, index, buffer, progress, pause, stop) -> None:
        position = index * CHUNK
        end = position + self.length(index)

        def attempt():
            nonlocal position
            before = position
            response = web.ask('GET', self.url, {'Range': f'bytes={position}-{end - 1}'})
            self.check_range(response, position, end)
            try:
                while position < end and not stop.is_set():
                    count = response.readinto(buffer[: min(len(buffer), end - position)])
                    if not count:
                        raise http.client.IncompleteRead(b'')
                    self.write(buffer[:count], position)
                    position += count
                    progress.add(count)
            except (OSError, http.client.HTTPException) as error:
                web.drop(self.url)
                detail = f'{web.place(self.url)} was cut off after {position} of {self.size} bytes'
                raise web.Passing(detail, gained=position > before) from error

        web.persistently(attempt, pause, stop)
        if position < end:
            return
        os.write(self.notes, f'{index}\n'.encode())
        with self.changed:
            self.done.add(index)
            self.changed.notify_all()

    def check_range(self, response, start: int, end: int) -> None:
        if response.status == 206:
            sent = response.headers.get('Content-Range', '')
            if sent == f'bytes {start}-{end - 1}/{self.size}':
                return
            problem = f'sent {sent or "an unnamed range"} of a file that should have {self.size} bytes'
        elif start == 0 and end == self.size and response.headers.get('Content-Length') == str(self.size):
            return
        else:
            problem = f'has {response.headers.get("Content-Length")} bytes, or cannot send a range'
        web.drop(self.url)
        raise Spoilt('store-failed', f'{web.place(self.url)} {problem}')

    def write(self, block: memoryview, position: int) -> None:
        try:
            while block:
                count = os.pwrite(self.part, block, position)
                block = block[count:]
                position += count
        except OSError as error:
            raise disk_trouble(error, self.path) from error

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def finish(self, stop: threading.Event) -> bool:
        """Waits for the chunks, sums them up and puts the file in its place; false if the sum is wrong."""
        digest = hashlib.sha256()
        for index in range(self.count):
            with self.changed:
                self.changed.wait_for(lambda: index in self.done or stop.is_set())
            if stop.is_set():
                return False
            if self.sha256:
                self.add_to(digest, index)
        right = self.sha256 is None or digest.hexdigest() == self.sha256
        try:
            if right:
                os.replace(self.name + '.part', self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
            else:
                files.remove(self.folder, self.name + '.part')
            files.remove(self.folder, self.name + '.part.done')
            os.close(self.part)
            os.close(self.notes)
            if right and self.unpack:
                unpack.unpack(self.root, self.path, self.target, self.stamp())
            os.close(self.folder)
        except OSError as error:
            raise disk_trouble(error, self.path) from error
        return right

    def clear(self) -> None:
        """Nothing of it stays: what takes its place may have another size."""
        folder = files.open_folder(self.root, self.folders, create=True)
        for name in (self.name, self.name + '.part', self.name + '.part.done'):
            files.remove(folder, name)
        os.close(folder)

    def add_to(self, digest, index: int) -> None:
        position, left = index * CHUNK, self.length(index)
        while left:
            block = os.pread(self.part, min(files.BLOCK, left), position)
            digest.update(block)
            position += len(block)
            left -= len(block)
