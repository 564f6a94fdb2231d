#!/usr/bin/env bash
# The guess, before looking: torch.manual_seed takes any whole number of 64 bits (its documentation gives the range,
# down to -2^63 and up to 2^64 - 1, and initial_seed() gives the number back whole), so every bit of it matters:
# seeds that differ give random numbers that differ, as with numpy's Generator, which takes as many bits as there
# are. Where one cannot be used, an error says so: 2^64 is refused.
#
# What it does (2.13.0, on a CPU): the generator is a Mersenne Twister that is begun with the last 32 bits of the
# seed; the others are dropped without a word, while initial_seed() still gives all 64. So 7, 7 + 2^32 and 7 + 2^63 give
# the same random numbers. Seeds made of parts, such as (run << 32) + rank or (seed << 40) + (step << 16) + rank, lose
# the upper part: every run of such a series has the same initial weights, dropout and shuffling, its standard
# deviation over "seeds" says nothing, and nothing shows it. (A GPU has another generator.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.2.6
cat > "$folder/look.py" <<'PY'
import sys

import numpy as np
import torch


def by_torch(seed):
    torch.manual_seed(seed)
    assert torch.initial_seed() == seed, "the seed is said to be the one that was given"
    weights = torch.nn.Linear(3, 1).weight.flatten().tolist()
    return [round(weight, 4) for weight in weights], torch.randperm(8).tolist()


def by_numpy(seed):
    return np.random.default_rng(seed).permutation(8).tolist()


seeds = [7, 7 + 2**32, 7 + 2**40, 7 + 2**63, 8]
for seed in seeds:
    print(f"{seed:>20}  torch {by_torch(seed)}  numpy {by_numpy(seed)}")
same = all(by_torch(seed) == by_torch(7) for seed in seeds[:-1])
apart = by_torch(8) != by_torch(7) and len({tuple(by_numpy(seed)) for seed in seeds}) == len(seeds)

draws = {tuple(torch.rand(4, generator=torch.Generator().manual_seed((run << 32) + 1)).tolist()) for run in range(100)}
print(f"100 runs whose seeds are (run << 32) + 1: {len(draws)} different stream(s) of random numbers")
try:
    torch.manual_seed(2**64)
except ValueError as error:
    print(f"2^64 is refused: {error}")
if not (same and apart and len(draws) == 1):
    sys.exit("this torch looks at more bits of the seed")
print("as described: only the last 32 bits of a seed matter on a CPU")
PY
"$folder/venv/bin/python" "$folder/look.py"
