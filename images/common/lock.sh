#!/bin/sh
# Writes the lock that an image is built from: `common/lock.sh cpu > common/requirements-cpu.txt`. For `cpu`, run it in
# the Dockerfile's `packages` stage: what Debian's python3-torch brings is left to Debian. The `cuda` lock is complete.
set -eu
here=$(dirname "$0")
wanted="-r $here/requirements.in -r $here/requirements-$1.in"
test "$1" = cuda && wanted="--ignore-installed $wanted"
python3 -m pip install --quiet --dry-run --break-system-packages --report /tmp/report.json $wanted >&2
python3 - <<'PYTHON'
import json
for item in sorted(json.load(open("/tmp/report.json"))["install"], key=lambda item: item["metadata"]["name"].lower()):
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    print(f"{item['metadata']['name']}=={item['metadata']['version']} --hash=sha256:{digest}")
PYTHON
