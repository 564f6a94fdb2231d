"""How a contestant is run: a process of its own, in its own environment, that does as much as it is told to.

It prints a line of JSON when it is ready. Then for each number that it reads it makes so many steps and
prints a line of JSON with what it did. Needs the standard library alone: a peer's environment has nothing of
ours.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def sentences(folder: Path) -> list[tuple[str, str]]:
    """The pairs to train on."""
    sides = [(folder / name).read_text(encoding="utf-8").splitlines() for name in ("train.src", "train.tgt")]
    return list(zip(*sides, strict=True))


def done(lengths: Iterable[tuple[int, int]], padded: int) -> dict[str, int]:
    """What a batch was, from the pieces of each source and target, as sums that FLOPs are counted from.

    `padded`: target positions that were computed, padding included.
    """
    total = {"source": 0, "target": 0, "source_squared": 0, "target_squared": 0, "crossed": 0}
    for source, target in lengths:
        total["source"] += source
        total["target"] += target
        total["source_squared"] += source * source
        total["target_squared"] += target * target
        total["crossed"] += source * target
    return total | {"padded": padded}


class Turns:
    """Waits for orders between steps: for a peer whose own loop calls us, where `serve` would call it."""

    def __init__(self, about: str) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever a peer prints does not get between the lines
        self._about = about
        self._left: int | None = None  # None: what is built on the first step is no part of the race

    def made(self, counts: dict[str, int]) -> None:
        """A step was made. Comes back when the next one is wanted; ends the process when none is."""
        if self._left is None:
            _say(self._out, {"ready": self._about})
        else:
            self._left -= 1
            for name, count in counts.items():
                self._total[name] = self._total.get(name, 0) + count
            if self._left:
                return
            self._report()
        line = sys.stdin.readline()
        if not line:
            raise SystemExit(0)
        self._left = int(line)
        self._total: dict[str, float] = {}
        self._began = time.perf_counter(), time.process_time()

    def _report(self) -> None:
        wall, cpu = self._began
        self._total |= {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _say(self._out, self._total | {"peak_bytes": most * (1 if sys.platform == "darwin" else 1024)})


def serve(step: Callable[[], dict[str, int]], about: str) -> None:
    """Make steps as told on standard input, until it ends."""
    turns = Turns(about)
    while True:
        turns.made(step())


def _say(out: object, value: object) -> None:
    print(json.dumps(value), file=out, flush=True)  # type: ignore[call-overload]
