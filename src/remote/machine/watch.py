"""What the machine notices by itself, as notices, until the caller is gone.

A spot interruption (two minutes' notice, in the instance metadata, which is asked every 5 s as AWS
advises), the GPU's load and the disk's room every 10 s, and the driver's complaints in the kernel log.
A source that can't be read is told of once, as `unreadable`, and asked again: none of these loops ends before its
caller does.
"""

import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request

XID = re.compile(r'NVRM: Xid \([^)]*\): (\d+)')


def watch(root: str, job: dict, report) -> dict:
    def source(name: str, read, seconds: float):
        return threading.Thread(target=keep_reading, args=(name, read, seconds, report), daemon=True)

    seconds = job['everySeconds']
    loops = [
        source('spot', spot_reader(job['metadata']), seconds / 2),
        source('gpu', lambda notice: read_gpu(job['gpu'], notice), seconds),
        source('disk', lambda notice: read_disk(root, notice), seconds),
        source('kernel log', lambda notice: read_kernel(job['kernelLog'], notice), seconds),
    ]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    return {}


def keep_reading(source: str, read, seconds: float, report) -> None:
    def notice(kind: str, **fields):
        report('notice', notice={'kind': kind, **fields})

    readable = True
    while True:
        try:
            read(notice)
            readable = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop must go on
            if readable:
                notice('unreadable', source=source, detail=f'{type(error).__name__}: {error}'[:300])
            readable = False
        time.sleep(seconds)


def spot_reader(metadata: str):
    told = None

    def read(notice) -> None:
        nonlocal told
        found = spot_action(metadata)
        if found and found != told:
            told = found
            notice('spot', action=found[0], at=found[1])

    return read


def spot_action(metadata: str) -> tuple[str, str] | None:
    """404 until the notice is given. Session tokens (IMDSv2) last a minute here: one a question."""
    token = ask('PUT', f'{metadata}/latest/api/token', {'X-aws-ec2-metadata-token-ttl-seconds': '60'})
    header = {'X-aws-ec2-metadata-token': token.strip()}
    try:
        action = json.loads(ask('GET', f'{metadata}/latest/meta-data/spot/instance-action', header))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return str(action['action']), str(action['time'])


def ask(method: str, url: str, headers: dict) -> str:
    request = urllib.request.Request(url, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=3) as response:
        return response.read(1 << 16).decode()


def read_gpu(command: list[str], notice) -> None:
    """Several GPUs count as busy as the busiest; their memory is added up."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    gpus = [[int(float(field)) for field in line.split(',')] for line in answer.splitlines() if line.strip()]
    if not gpus:
        raise ValueError('no GPU is listed')
    used = sum(memory for _, memory in gpus)
    notice('gpu', utilisationPercent=max(load for load, _ in gpus), memoryUsedMb=used)


def read_disk(root: str, notice) -> None:
    disk = os.statvfs(root)
    notice('disk', freeBytes=disk.f_bavail * disk.f_frsize)


def read_kernel(command: list[str], notice) -> None:
    """The log from boot on: trouble that came before us is trouble too. It has no end but by trouble."""
    log = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace')
    for line in log.stdout:
        if found := XID.search(line):
            notice('xid', code=int(found.group(1)), line=line.strip()[:500])
    raise OSError(log.stderr.read(300).strip() or f'it ended with status {log.wait()}')
