"""What the machine notices by itself, as notices, until the caller is gone.

A spot interruption (two minutes' notice, in the instance metadata, which is asked every 5 s as AWS
advises), the GPU's load and the disk's room every 10 s, and the driver's complaints in the kernel log.
Each source that a machine lacks is left out.
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
    def notice(kind: str, **fields):
        report('notice', notice={'kind': kind, **fields})

    threading.Thread(target=watch_kernel, args=(job['kernelLog'], notice), daemon=True).start()
    threading.Thread(target=watch_gpu, args=(job['gpu'], job['everySeconds'], notice), daemon=True).start()
    threading.Thread(target=watch_disk, args=(root, job['everySeconds'], notice), daemon=True).start()
    watch_spot(job['metadata'], job['everySeconds'] / 2, notice)
    return {}


def watch_spot(metadata: str, seconds: float, notice) -> None:
    told = None
    while True:
        found = spot_action(metadata)
        if found and found != told:
            told = found
            notice('spot', action=found[0], at=found[1])
        time.sleep(seconds)


def spot_action(metadata: str) -> tuple[str, str] | None:
    """404 until the notice is given. Session tokens (IMDSv2) last a minute here: one a question."""
    try:
        token = ask('PUT', f'{metadata}/latest/api/token', {'X-aws-ec2-metadata-token-ttl-seconds': '60'})
        header = {'X-aws-ec2-metadata-token': token.strip()}
        action = json.loads(ask('GET', f'{metadata}/latest/meta-data/spot/instance-action', header))
        return str(action['action']), str(action['time'])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ask(method: str, url: str, headers: dict) -> str:
    request = urllib.request.Request(url, method=method, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=3) as response:
        return response.read(1 << 16).decode()


def watch_gpu(command: list[str], seconds: float, notice) -> None:
    """Several GPUs count as busy as the busiest; their memory is added up."""
    while True:
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
            gpus = [[int(float(field)) for field in line.split(',')] for line in answer.splitlines() if line.strip()]
            if gpus:
                used = sum(memory for _, memory in gpus)
                notice('gpu', utilisationPercent=max(load for load, _ in gpus), memoryUsedMb=used)
        except (OSError, ValueError, subprocess.SubprocessError):
            pass
        time.sleep(seconds)


def watch_disk(root: str, seconds: float, notice) -> None:
    while True:
        disk = os.statvfs(root)
        notice('disk', freeBytes=disk.f_bavail * disk.f_frsize)
        time.sleep(seconds)


def watch_kernel(command: list[str], notice) -> None:
    """The log from boot on: trouble that came before us is trouble too."""
    try:
        log = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors='replace')
    except OSError:
        return
    for line in log.stdout:
        if found := XID.search(line):
            notice('xid', code=int(found.group(1)), line=line.strip()[:500])
