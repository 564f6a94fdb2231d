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
from queue import Queue
from threading import Thread


def sentences(folder: Path) -> list[tuple[str, str]]:
    """The pairs to train on."""
    sides = [(folder / name).read_text(encoding="utf-8").splitlines() for name in ("train.src", "train.tgt")]
    return list(zip(*sides, strict=True))


def done(lengths: Iterable[tuple[int, int]], padded: int) -> dict[str, int]:
    """What a batch was, from the tokens of each source and target, as sums that FLOPs are counted from.

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


def serve(step: Callable[[], dict[str, int]], about: str) -> None:
    """Make steps as told on standard input, until it ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a peer prints does not get between the lines
    step()  # what is built on the first step is no part of the race
    _say(out, {"ready": about})
    for line in sys.stdin:
        total: dict[str, float] = {}
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            for name, count in step().items():
                total[name] = total.get(name, 0) + count
        total |= {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        _say(out, total | {"peak_bytes": _peak_bytes()})


def _peak_bytes() -> int:
    """The most memory that this process has held. Linux begins getrusage at the peak of who started it."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class Driven:
    """A training that drives itself, made to wait before each step until it is told to make one.

    A step ends where the next one begins: reading the batch and the optimizer are in it.
    """

    def __init__(self) -> None:
        self._orders: Queue[None] = Queue()
        self._results: Queue[dict[str, int]] = Queue()
        self._now: dict[str, int] | None = None

    def begins(self, counts: dict[str, int]) -> None:
        """To be called by the training at the start of each step, with what its batch is."""
        if self._now is not None:
            self._results.put(self._now)
        self._now = counts
        self._orders.get()

    def serve(self, train: Callable[[], object], about: str) -> None:
        """Run the training, and take orders beside it until there are no more."""

        def take_orders() -> None:
            serve(self._step, about)
            os._exit(0)

        Thread(target=take_orders, daemon=True).start()
        train()

    def _step(self) -> dict[str, int]:
        self._orders.put(None)
        return self._results.get()


def _say(out: object, value: object) -> None:
    print(json.dumps(value), file=out, flush=True)  # type: ignore[call-overload]
