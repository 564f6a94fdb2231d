#!/usr/bin/env bash
# torch.manual_seed, without a GPU: it writes down the whole call stack, each time it is called.
#
# Guess: to seed a generator on a CPU sets some numbers: a few microseconds, whoever calls it, and as much as
# torch.default_generator.manual_seed, which seeds the very same generator.
# Seen, torch 2.13.0 (CPU build): the two give the same numbers, but torch.manual_seed takes a hundred times as
# long and more, and the longer the deeper in calls it is made: it also keeps the seed for devices that are not
# there, with the stack of the caller as text (read from the source files), once for each kind of device. A
# generator of one's own costs as little as the default one.
# Whom it hurts: who seeds per sample or per operation (data loaders, property tests, measuring tools, drawing
# for each request): in a test suite it was half of the time. Seed torch.default_generator, or a Generator.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
CUDA_VISIBLE_DEVICES="" "$place/venv/bin/python" - <<'PY'
import time
from statistics import median

import torch


def microseconds(seed, depth):
    """Of a call that is made so deep in others: the median of some rounds."""
    if depth:
        return microseconds(seed, depth - 1)
    rounds = []
    for _ in range(7):
        began = time.perf_counter()
        for number in range(100):
            seed(number)
        rounds.append((time.perf_counter() - began) * 1e4)
    return median(rounds)


torch.manual_seed(5)
one = torch.rand(4)
torch.default_generator.manual_seed(5)
assert torch.equal(one, torch.rand(4))
ways = {
    "torch.manual_seed": torch.manual_seed,
    "torch.default_generator.manual_seed": torch.default_generator.manual_seed,
    "torch.Generator().manual_seed": torch.Generator().manual_seed,
}
took = {name: [microseconds(seed, depth) for depth in (0, 40, 160)] for name, seed in ways.items()}
print(f"torch {torch.__version__}: microseconds a call, 0, 40 and 160 calls deep")
for name, times in took.items():
    print(f"  {name:36}", *(f"{one:9.1f}" for one in times))
shallow, _, deep = took["torch.manual_seed"]
other = max(took["torch.default_generator.manual_seed"])
assert deep > 3 * shallow, "no longer by the depth of the stack"
assert deep > 50 * other, "no longer so slow"
PY
