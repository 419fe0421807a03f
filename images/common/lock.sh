#!/bin/sh
# Writes the lock that an image is built from: `common/lock.sh cpu > common/requirements-cpu.txt`,
# run in the image's own `runtime` stage, so that what Debian already provides is left to Debian.
set -eu
here=$(dirname "$0")
set -- -r "$here/requirements.in" ${1:+-r "$here/requirements-$1.in"}
python3 -m pip install --quiet --dry-run --break-system-packages --report /tmp/report.json "$@" >&2
python3 - <<'PYTHON'
import json
for item in sorted(json.load(open("/tmp/report.json"))["install"], key=lambda item: item["metadata"]["name"].lower()):
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    print(f"{item['metadata']['name']}=={item['metadata']['version']} --hash=sha256:{digest}")
PYTHON
