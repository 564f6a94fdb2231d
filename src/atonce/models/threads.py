"""With how many threads torch computes: a small model is as soon done with one, and then in nobody's way.

What a thread of torch is given takes microseconds, and then it waits for the others. On a busy machine these
may not even run: an update of a Transformer of width 16 took 0.26 s with one thread beside seven
other processes, and 6.8 s with two, on two cores. Most of that was waiting in a busy loop, which the package
shortens (`atonce.__init__`); the rest is why models for which more threads gain little have one.
`benchmarks/threads.py` measures it.

How many there are can change the last bits of a sum. So a training keeps the number that it began with.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import nn

MOST_THREADS = 1024
"""That a recipe can ask for."""
SMALL_BATCH = 1e9
"""Operations of a batch below which one thread computes it: with two it gained 0 to 20 % on idle cores. Of
several that make an update, threads share one at a time."""
SMALL_MODEL = 500_000
"""Weights below which one thread searches: 0 to 10 %."""
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

_decided: ContextVar[bool] = ContextVar("threads_decided", default=False)
"""Whether somebody has said with how many: the training that validates, or the user."""
# For the whole process, as `--threads` is said once; `_decided` is for what one of its threads does.
_told: list[int] = []


@dataclass(frozen=True)
class Threads:
    """How many, and why."""

    count: int
    why: str

    def __str__(self) -> str:
        return f"{self.count} thread{'s' if self.count > 1 else ''}, {self.why}"


def use_threads(count: int | None) -> None:
    """Compute with so many from now on, whatever the model. None changes nothing."""
    if count is not None:
        torch.set_num_threads(count)
        _told[:] = [count]


def training_threads(model: nn.Module, tokens: int, asked: int | None = None) -> Threads:
    """For a training whose batches have so many tokens.

    `asked`: by the recipe. Never more than torch has: as many as cores, or as `torch.set_num_threads` said.
    """
    have = torch.get_num_threads()
    if asked is not None:
        return Threads(asked, "as the recipe says")
    if said := _said_by_user():
        return Threads(have, said)
    # By size and not by a clock: a resumed training must come to the same number.
    work = training_work(model, tokens)
    size = f"a batch is about {work / 1e9:.2g} GFLOP"
    if have > 1 and work < SMALL_BATCH:
        return Threads(1, f"as {size}: too little to share")
    return Threads(have, f"as torch has them; {size}")


def training_work(model: nn.Module, tokens: int) -> float:
    """Operations of a batch, about: each weight is multiplied and added for each token, and twice again on
    the way back."""
    return 6.0 * sum(weight.numel() for weight in model.parameters()) * tokens


def search_threads(model: nn.Module) -> int | None:
    """For searching with a model; None where it is as many as there are."""
    weights = list(model.parameters())
    small = sum(weight.numel() for weight in weights) < SMALL_MODEL
    on_cpu = all(weight.device.type == "cpu" for weight in weights)
    return 1 if small and on_cpu else None


@contextmanager
def computing_on(count: int | None, *, binding: bool = False) -> Iterator[None]:
    """Within the block, torch computes with so many threads; None: with as many as now.

    `binding`: as a training has it, and nothing within the block changes it.
    """
    # What a training has holds for its validations, and what the user said for everything.
    if (_decided.get() or _said_by_user()) and not binding:
        yield
        return
    before = torch.get_num_threads()
    token = _decided.set(_decided.get() or binding)
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _decided.reset(token)


@contextmanager
def computing_anew(count: int) -> Iterator[None]:
    """Within the block, torch computes with so many threads, whatever else is being computed on this thread.

    For what comes between the steps of a search, which may have fewer, and has them again afterwards.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _said_by_user() -> str | None:
    """Who said with how many threads to compute, if anybody did."""
    if _told:
        return "as --threads says"
    return next((f"as {name} says" for name in _VARIABLES if os.environ.get(name)), None)
