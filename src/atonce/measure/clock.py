"""Timing beside the counts: how long calls take, and the speedup that more processors guarantee."""

from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from atonce.shapes import Shaped

Call = Callable[[], object]

ROUNDS = 3
_LONG = 1.0
"""Seconds of a call beyond which one round is enough."""


def medians(calls: Sequence[Call], *, threads: int, seconds: float) -> list[float]:
    """The median time of each call, in seconds, on so many threads of a CPU, after it has run to warm up.

    They run in turn, so that a machine that slows down slows all of them: their ratios can be trusted more
    than the times. `seconds`: at least so long each is run, a few times at least unless it takes long.
    """
    timers = [Timer("call()", globals={"call": call}, num_threads=threads) for call in calls]
    found: list[list[float]] = [[] for _ in calls]
    # Rounds outside, calls inside: two that are compared are timed within the same moments.
    for _ in range(ROUNDS):
        for timer, times in zip(timers, found, strict=True):
            times.append(timer.blocked_autorange(min_run_time=seconds / ROUNDS).median)
        if max(times[0] for times in found) > _LONG:
            break
    return [median(times) for times in found]


def kept_bytes(call: Call) -> int:
    """How many bytes autograd keeps from the forward for the backward pass, while `call` runs."""
    storages: dict[int, int] = {}

    def pack(tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        storage = tensor.untyped_storage()  # by its address: several tensors that are kept may share one
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(storages.values())


def sure_speedup(work: float, span: float, processors: int) -> float:
    """The speedup over one processor that is guaranteed, if nothing but operations takes time.

    They need no more than span + (work - span) / processors steps (Brent 1974, lemma 2); one
    needs `work`.
    """
    return work / (span + (work - span) / processors)
