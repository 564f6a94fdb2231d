"""Work dealt out to as many threads as torch has: whole batches, or rows of one."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from threading import Event, local
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

from atonce.pauses import can_be_paused, pause, pausing

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTH_IT = 15_000_000
"""Products that take as long as to wake another thread."""
PAUSE_EVERY = 0.01
"""Seconds after which the thread that waits for batches pauses, where somebody has said what shall happen."""

_threads: ContextVar[int | None] = ContextVar("threads", default=None)
"""Those that `deal` has, where it is not as many as torch."""
_here = local()
"""How many searches of several batches stand still on this thread, while something else comes between."""


def map_batches(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of each item, in order, on several threads at a time. A single item has all of them.

    Where `work` pauses, it waits while what the calling thread was asked to do meanwhile is done, and ends if
    that ended all. The calling thread pauses until there is a result.
    """
    threads = torch.get_num_threads()
    if len(items) == 1 or threads == 1:
        for item in items:
            with _alone(threads):
                result = work(item)
            yield result
        return

    side = _Side()

    def alone(item: Item) -> Result:
        with _alone(1), pausing(side.step):
            side.step()
            return work(item)

    pool = _pool(os.getpid(), threads, _depth())
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            # All at once, since the pool takes them in order: a thread that is done has the next without
            # being told.
            waiting.append(pool.submit(alone, item))
        while waiting:
            yield side.result(waiting.popleft())
    finally:
        side.end()
        for one in waiting:
            one.cancel()


# No `Exception`: code on the way may catch those, and go on.
class _Ended(BaseException):
    """Nobody waits for the batches that are left."""


class _Side:
    """Batches that are worked on side by side, as the calling thread sees them."""

    def __init__(self) -> None:
        self._may_go_on = Event()
        self._may_go_on.set()
        self._has_ended = False

    def step(self) -> None:
        """On the threads of the batches, after each step."""
        self._may_go_on.wait()
        if self._has_ended:
            raise _Ended

    def result(self, one: "Future[Result]") -> Result:
        """On the calling thread: wait for it, with a pause at least."""
        # Elsewhere nobody has anything to do meanwhile: it waits without waking up.
        while can_be_paused():
            is_done = wait([one], PAUSE_EVERY).done
            self._pause()
            if is_done:
                break
        return one.result()

    def end(self) -> None:
        """What is not done yet ends at its next step."""
        self._has_ended = True
        self._may_go_on.set()

    def _pause(self) -> None:
        """What comes between has all threads: the batches stand still, and it has a pool of its own."""
        self._may_go_on.clear()
        _here.depth = _depth() + 1
        try:
            pause()
        finally:
            _here.depth -= 1
            self._may_go_on.set()


def deal(work: Callable[[int, int], None], count: int, products: int) -> None:
    """Call `work(first, last)` for parts of `count` rows, side by side. `products`: of a row."""
    threads = _threads.get() or torch.get_num_threads()
    parts = max(1, min(threads, count, count * products // WORTH_IT))
    bounds = [count * part // parts for part in range(parts + 1)]
    others = [
        _pool(os.getpid(), threads, _depth()).submit(work, *bounds[part : part + 2])
        for part in range(1, parts)
    ]
    try:
        work(0, bounds[1])
    finally:
        # Also where `work` failed: nothing is written any more once this has returned.
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


@lru_cache(maxsize=8)
def _pool(process: int, threads: int, depth: int) -> ThreadPoolExecutor:
    """A process that was forked has none of its parent's threads. `depth`: see `_here`."""
    return ThreadPoolExecutor(threads, thread_name_prefix="atonce")


def _depth() -> int:
    return getattr(_here, "depth", 0)


@cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")
