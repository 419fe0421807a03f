"""The worker's helper on a GPU machine: moves files, lists them, watches. Standard library only.

    python3 -B <this folder>

Its job is the first line of stdin, as JSON, so that no URL is seen in a list of processes. Stdin stays
open as long as the worker wants the result: when it ends, the helper stops. What happens is told on stdout,
one JSON object a line: `event` is `progress`, `content`, `file`, `part`, `notice`, and at last `done` or
`failed` (with `reason` and `detail`).
Python 3.10 (Ubuntu 22.04) must do.
"""

import json
import os
import sys
import threading

import files
from download import SHELF, download
from trouble import Trouble
from upload import upload, upload_folder
from watch import watch

speaking = threading.Lock()


def main():
    job = json.loads(read_line())
    threading.Thread(target=stop_with_caller, daemon=True).start()
    try:
        say('done', **run(job))
        code = 0
    except Trouble as trouble:
        say('failed', reason=trouble.reason, detail=str(trouble))
        code = 1
    sys.stdout.flush()
    # Threads that wait for a peer or for stdin must not hold up the end.
    os._exit(code)


def run(job):
    root = job['root']
    match job['operation']:
        case 'read':
            return files.read(root, job['path'], job['maxBytes'], say)
        case 'write':
            return files.write(root, job['path'], job['content'])
        case 'list':
            return files.list_folder(root, job['folder'], say)
        case 'download':
            return download(root, job['files'], say, pause=job.get('pause', 0.2), shelf=job.get('shelf', SHELF))
        case 'upload':
            return upload(root, job, say, pause=job.get('pause', 0.2))
        case 'upload-folder':
            return upload_folder(root, job, pause=job.get('pause', 0.2))
        case 'watch':
            return watch(root, job, say)
    raise Trouble('internal', f'no such operation: {job["operation"]}')


def say(event, **fields):
    with speaking:
        try:
            print(json.dumps({'event': event, **fields}), flush=True)
        except BrokenPipeError:
            os._exit(1)


def read_line():
    """From the file descriptor itself: a thread that waits in sys.stdin can't be left behind."""
    buffer = b''
    while b'\n' not in buffer:
        chunk = os.read(0, 1 << 16)
        if not chunk:
            sys.exit('stdin ended before the job came')
        buffer += chunk
    return buffer


def stop_with_caller():
    while os.read(0, 1 << 16):
        pass
    os._exit(1)


main()
