#!/usr/bin/env bash
# The peak memory of a worker process, as getrusage has it: it begins at the peak of who started it (Linux).
#
# Guess: resource.getrusage(RUSAGE_SELF).ru_maxrss in a fresh process (subprocess, a new program by exec) is the
# most memory that this process has held, some 10 MB for a Python that does nothing; that is why trainings that
# are compared are put into processes of their own.
# Seen, Linux 6, CPython with numpy 2.4.6: a Python that does nothing, started by one that once held 1 GB, reports
# 1 GB, also when its parent has freed it long before. VmHWM in /proc/self/status and psutil's own view of the
# resident memory say some 10 MB: they belong to the new program, the other to the process that became it.
# Whom it hurts: who compares the memory of trainings or decoders in child processes of one harness (most
# benchmarks do): whatever needs less than the harness is reported as the harness. Limits that kill or replace a
# worker by its ru_maxrss hit each new one at once. Read VmHWM on Linux.
set -euo pipefail
[ "$(uname -s)" = Linux ] || { echo "about Linux"; exit 0; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet numpy==2.4.6 psutil==7.1.3
"$place/venv/bin/python" - <<'PY'
import subprocess
import sys

import numpy as np

CHILD = """
import resource, psutil
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
status = open('/proc/self/status').read()
own = int(next(line for line in status.splitlines() if line.startswith('VmHWM')).split()[1]) // 1024
print(peak, own, psutil.Process().memory_info().rss >> 20)
"""


def child():
    return [int(one) for one in subprocess.check_output([sys.executable, "-c", CHILD], text=True).split()]


def say(when, found):
    print(f"{when:28} ru_maxrss {found[0]:5} MB   VmHWM {found[1]:4} MB   resident (psutil) {found[2]:4} MB")


small = child()
say("before", small)
held = np.ones(1 << 27)  # 1 GB
large = child()
say("parent holds 1 GB", large)
del held
freed = child()
say("parent has freed it", freed)
for found in (large, freed):
    assert found[0] > 1000, "the child's peak is its own now"
    assert max(found[1:]) < 100
assert max(small) < 100
PY
