"""Work dealt out to as many threads as torch has: whole batches, or rows of one."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTH_IT = 15_000_000
"""Products that take as long as to wake another thread."""

_threads: ContextVar[int | None] = ContextVar("threads", default=None)
"""Those that `deal` has, where it is not as many as torch."""


def each(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of each item, in order, on several threads at a time. A single item has all of them."""
    threads = torch.get_num_threads()
    if len(items) == 1 or threads == 1:
        for item in items:
            with _alone(threads):
                result = work(item)
            yield result
        return

    def alone(item: Item) -> Result:
        with _alone(1):
            return work(item)

    waiting = [_pool(os.getpid(), threads).submit(alone, item) for item in items]
    try:
        for one in waiting:
            yield one.result()
    finally:
        for one in waiting:
            one.cancel()


def deal(work: Callable[[int, int], None], count: int, products: int) -> None:
    """Call `work(first, last)` for parts of `count` rows, side by side. `products`: of a row."""
    threads = _threads.get() or torch.get_num_threads()
    parts = max(1, min(threads, count, count * products // WORTH_IT))
    bounds = [count * part // parts for part in range(parts + 1)]
    others = [_pool(os.getpid(), threads).submit(work, *bounds[part : part + 2]) for part in range(1, parts)]
    try:
        work(0, bounds[1])
    finally:
        for other in others:
            other.result()


@contextmanager
def _alone(threads: int) -> Iterator[None]:
    """Within the block, torch computes on the calling thread alone, and `deal` has so many threads.

    Threads that torch has used wait for more in a busy loop, for milliseconds.
    """
    token = _threads.set(threads)
    try:
        with _openmp().limit(limits=1):
            yield
    finally:
        _threads.reset(token)


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A process that was forked has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="atonce")


@cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")
