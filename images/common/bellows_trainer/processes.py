"""One process a GPU in this machine; accelerate's `Accelerator` finds its place by the variables set here."""

import os
import signal
import socket
import subprocess
import sys


def run_on_each(count):
    """Runs this very command `count` times at once; the first one's exit code is the run's.

    A process that fails takes the others with it, since they would wait for it in the next reduction forever.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    # Debian's torch lacks the event loop that serves thousands of processes.
    shared["USE_LIBUV"] = 0
    children = []
    for rank in range(count):
        place = {**shared, "RANK": rank, "LOCAL_RANK": rank}
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
        command = [sys.executable, "-m", "bellows_trainer", *sys.argv[1:]]
        children.append(subprocess.Popen(command, env=environment))

    def pass_on(number, _):
        for child in children:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    while children:
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        ended = next(child for child in children if child.pid == pid)
        ended.returncode = code
        if ended is children[0] or code != 0:
            break
        children.remove(ended)
    for child in children:
        if child.poll() is None and code not in (0, 75):
            child.kill()
        child.wait()
    return code if code >= 0 else 128 - code
