#!/usr/bin/env bash
# numba with NUMBA_OPT=0: what calls another compiled function is never kept on disk, and the reason given is
# another.
#
# Guess: the level of optimisation says how good the machine code is and how long it takes to make. With
# cache=True all of it is kept, at every level.
# Seen, numba 0.68.1: at level 0 a function that calls none is kept, but one that calls another njit function
# is compiled again in each process, with the warning that it "uses dynamic globals (such as ctypes pointers
# and large global arrays)". It has none. From level 1 on both are kept, and nothing is said.
# Whom it hurts: who sets NUMBA_OPT=0 so that tests, CI or a first start take less time: each process compiles
# for longer than with a warm cache of level 3, and the search for a global array finds nothing. Level 1 keeps all.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cat > "$place/functions.py" <<'PY'
import json
import warnings

import numba


@numba.njit(cache=True)
def double(x):
    return 2.0 * x


@numba.njit(cache=True)
def alone(n):
    total = 0.0
    for i in range(n):
        total += 2.0 * i
    return total


@numba.njit(cache=True)
def caller(n):
    total = 0.0
    for i in range(n):
        total += double(i)
    return total


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert alone(5) == caller(5) == 20.0
hits = {one.__name__: sum(one.stats.cache_hits.values()) for one in (alone, caller)}
print(json.dumps({"hits": hits, "warned": [str(one.message) for one in caught]}))
PY
for level in 0 1 3; do
    for process in first second; do
        NUMBA_OPT=$level NUMBA_CACHE_DIR="$place/level-$level" "$place/venv/bin/python" "$place/functions.py" \
            > "$place/$level-$process.json"
        echo "level $level, $process process: $(cat "$place/$level-$process.json")"
    done
done
"$place/venv/bin/python" - "$place" <<'PY'
import json
import pathlib
import sys

found = {level: json.loads((pathlib.Path(sys.argv[1]) / f"{level}-second.json").read_text()) for level in (0, 1, 3)}
assert found[0]["hits"] == {"alone": 1, "caller": 0}, "level 0 keeps callers now"
assert any("dynamic globals" in one for one in found[0]["warned"]), "another reason is given now"
for level in (1, 3):
    assert found[level] == {"hits": {"alone": 1, "caller": 1}, "warned": []}, f"level {level} is another now"
PY
