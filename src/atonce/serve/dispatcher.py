"""From a request to the models and back: jobs of many clients in batches, on the thread that models run on.

Routes use the `Dispatcher`: it gives a job to the `Batcher`, and returns its answer within the time of the
request, or not at all if its client has left. The batcher knows neither models nor HTTP.
"""
# One thread for all models: with threads of their own each would have a pool of torch's, which wait for one
# another in a busy loop, and a heap. It also lets requests gather to a batch while one is worked on.

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from atonce.models.threads import computing_anew
from atonce.pauses import pausing
from atonce.serve.errors import overloaded, timed_out
from atonce.serve.limits import CHARACTERS_PER_TOKEN, Limits, priority_of

Found = TypeVar("Found")

LONGEST_RETRY_AFTER = 60
"""Seconds that a client is told to wait at most before it asks again."""
CLEANUP_SECONDS = 1.0
SHARES = (8, 2, 1)
"""Parts of the thread's time, by priority, where all have work: small requests, larger ones, the largest. So
large requests are slow beside many small ones, but they do end."""
COUNTED_ON_LOOP = 10_000
"""Characters of texts whose tokens are counted on the event loop, which answers nobody meanwhile."""


@runtime_checkable
class Job(Hashable, Protocol):
    """Work for a model. Equal jobs run together, on a batch of contents of many requests."""

    def run(self, contents: list[Any]) -> Sequence[Any]:
        """The answer to each content, or an exception for its request. Runs on the thread of the models."""
        ...


@dataclass(frozen=True)
class CallJob:
    """One function call, batched with no other; its contents mean nothing."""

    function: Callable[[], Any]

    def run(self, contents: list[Any]) -> list[Any]:
        """The result of the function."""
        return [self.function() for _ in contents]


def run_job(job: Job, contents: list[Any], *, threads: int) -> Sequence[Any]:
    """Run a batch. `threads`: how many torch has while nothing else is computed."""
    # It may come between the steps of another, whose modes and threads of torch are not its own.
    with torch.inference_mode(False), torch.enable_grad(), computing_anew(threads):
        return job.run(contents)


class ClientDisconnected(Exception):
    """The client left before there was an answer."""


class Dispatcher:
    """Submits the jobs of requests, and gives them up when a request ends early."""

    def __init__(self, batcher: "Batcher", limits: Limits) -> None:
        self._batcher = batcher
        self.limits = limits

    async def submit(self, job: Job, contents: Sequence[Any], *, work: int) -> list[Any]:
        """The answer to each content, whenever it comes. Raises HTTPError if the queue is full.

        `work`: about how much it is, in tokens times outputs: the less, the higher its priority.
        """
        items = [Item(content, _size(content)) for content in contents]
        try:
            return await self._batcher.submit(job, items, priority=priority_of(work))
        except Overloaded as error:
            raise overloaded(error.retry_after) from None

    async def in_time(self, request: Request, answer: Coroutine[Any, Any, Found]) -> Found:
        """The result of a coroutine. It is cancelled if it takes too long, or its client leaves.

        Raises HTTPError, or ClientDisconnected.
        """
        work = asyncio.create_task(answer)
        left = asyncio.create_task(_disconnected(request))
        try:
            # Both are waited for: a client that leaves is not to keep the models busy until the time is over.
            await asyncio.wait({work, left}, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if left.done():
                raise ClientDisconnected
            raise timed_out(self.limits.seconds)
        finally:
            work.cancel()  # which ends the job at its next pause
            left.cancel()

    async def checked(self, check: Callable[[], Found], texts: Sequence[str]) -> Found:
        """The result of `check`, which tokenizes these texts: outside of the event loop if they are long."""
        if sum(map(len, texts)) <= COUNTED_ON_LOOP:
            return check()
        return await run_in_threadpool(check)


def _size(content: Any) -> int:
    """About how many tokens of a batch it takes up: texts are not tokenized for it."""
    if isinstance(content, tuple):
        return sum(map(_size, content))
    return 1 + len(content) // CHARACTERS_PER_TOKEN if isinstance(content, str) else 1


async def _disconnected(request: Request) -> None:
    """Returns when the client has left."""
    # The body was read before (`GuardMiddleware`): all that can still come is that the client leaves.
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Overloaded(Exception):
    """The queue is full. `retry_after`: seconds until there should be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"ask again in {retry_after} seconds")
        self.retry_after = retry_after


class Abandoned(BaseException):
    """Nobody waits for the current batch. Not an Exception: nothing between here and there shall catch it."""


@dataclass(frozen=True)
class Item:
    """One content to work on. `size`: how much of a batch it takes up."""

    content: Any
    size: int


@dataclass(eq=False)
class _Queued:
    key: Hashable
    priority: int
    item: Item
    answer: "asyncio.Future[Any]"
    since: float


class Batcher:
    """Dynamic batching: runs items of equal keys together, and returns each answer to its request.

    While one batch is worked on, the next gathers. When nothing is worked on, the first waits `wait` seconds
    for others. Used as `async with`; at the end of the block all that was accepted has been done.

    Work has a priority, from 0, the highest. Where it pauses (`pauses.pause`), work of a higher one is done
    first, on the same thread; and it ends where nobody waits for it any more. Each priority has its share
    of the thread's time, so that nothing waits for ever.
    """

    def __init__(
        self,
        work: Callable[[Any, list[Any]], Sequence[Any]],
        *,
        batch_size: int,
        wait: float,
        capacity: int,
        on_batch: Callable[[int, float], None] = lambda items, seconds: None,
        cleanup: Callable[[], None] = lambda: None,
    ) -> None:
        """`work`: gives an answer for each content of a batch, all of one key; it runs on the thread.
        An answer may be an exception, for the request.

        `capacity`: items of each priority that may wait. `on_batch`: called after each batch with its number
        of items and its seconds. `cleanup`: called on the thread after large work, at most every
        `CLEANUP_SECONDS` seconds.
        """
        self._work = work
        self._batch_size = batch_size
        self._wait = wait
        self._capacity = capacity
        self._on_batch = on_batch
        self._cleanup = cleanup
        self._cleaned_up = -math.inf
        self._changed = Condition()
        """Held by whoever changes what waits."""
        self._waiting: dict[_Queued, None] = {}  # a set that keeps the order in which they came
        # Apart for each priority, so that large requests cannot take the places of small ones in the queue.
        self._counts = [0] * len(SHARES)
        self._scheduler = _StrideScheduler()
        self._seconds_per_size = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name="models", daemon=True)
        self._closing = False

    async def __aenter__(self) -> "Batcher":
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)  # on another thread: answers go through the event loop

    @property
    def waiting(self) -> int:
        """How many items wait."""
        # Without the lock: one number of the moment, for /health and metrics.
        return len(self._waiting)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; without it nothing is answered any more."""
        return self._thread.is_alive()

    async def submit(self, key: Hashable, items: Sequence[Item], *, priority: int = 0) -> list[Any]:
        """The answers to `items`, in order. Raises Overloaded, or what `work` raised for one of them."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        with self._changed:
            # All items of a request or none: half a request would take room and be of no use to anybody.
            if self._closing or self._counts[priority] + len(items) > self._capacity:
                raise Overloaded(self._retry_after(priority))
            queued = [_Queued(key, priority, item, loop.create_future(), now) for item in items]
            self._scheduler.joins(priority, [other for other, count in enumerate(self._counts) if count])
            self._waiting.update(dict.fromkeys(queued))
            self._counts[priority] += len(queued)
            self._changed.notify()
        try:
            return list(await asyncio.gather(*(one.answer for one in queued)))
        finally:  # also where the request was cancelled: the thread is not to begin what nobody waits for
            with self._changed:
                for one in queued:
                    one.answer.cancel()
                    self._dequeue(one)

    def _dequeue(self, one: _Queued) -> None:
        if one in self._waiting:
            del self._waiting[one]
            self._counts[one.priority] -= 1

    def _retry_after(self, priority: int) -> int:
        # Only what goes before it counts: what has a lower priority gives way.
        waiting = sum(one.item.size for one in self._waiting if one.priority <= priority)
        return min(LONGEST_RETRY_AFTER, max(1, math.ceil(waiting * self._seconds_per_size)))

    def _run(self) -> None:
        """On the thread: batch after batch, until all is done and the batcher closes."""
        while batch := self._gather():
            is_large = batch[0].priority > 0
            self._process(batch)
            del batch  # or it would be kept until the next one comes
            # Not after small work, which leaves little behind: it would wait for milliseconds of cleaning up.
            if is_large and time.monotonic() - self._cleaned_up > CLEANUP_SECONDS:
                self._cleanup()
                self._cleaned_up = time.monotonic()

    def _gather(self) -> list[_Queued]:
        """Wait for the next batch; an empty one at the end."""
        with self._changed:
            while True:
                while not self._waiting:
                    if self._closing:
                        return []
                    self._changed.wait()
                first = next(iter(self._waiting))
                # Wait for more to come, until the oldest has waited long enough or a batch is full.
                while (left := first.since + self._wait - time.monotonic()) > 0 and not self._closing:
                    if (
                        sum(one.item.size for one in self._waiting if one.key == first.key)
                        >= self._batch_size
                    ):
                        break
                    self._changed.wait(left)
                found = self._scheduler.next(
                    [priority for priority, count in enumerate(self._counts) if count]
                )
                if found is not None:
                    return self._next_batch(found)
                del first  # who has left meanwhile, and would be kept until the next one comes

    def _next_batch(self, priority: int) -> list[_Queued]:
        """The oldest item of this priority with others of its key, as many as a batch holds: at least one."""
        batch: list[_Queued] = []
        size = 0
        for one in self._waiting:
            if one.priority != priority or (batch and one.key != batch[0].key):
                continue
            size += one.item.size
            if batch and size > self._batch_size:
                break
            batch.append(one)
        for one in batch:
            self._dequeue(one)
        return batch

    def _process(self, batch: list[_Queued]) -> None:
        """Work on a batch. If it fails each item is tried alone, so that only the one at fault fails."""
        contents = [one.item.content for one in batch]
        with self._scheduler.at(batch[0].priority) as turn:
            try:
                with pausing(partial(self._pause, batch)):
                    answers = self._work(batch[0].key, contents)
            except Abandoned:
                return
            except Exception as error:
                answers = [error] * len(batch)
                is_tried_again = len(batch) > 1
            else:
                is_tried_again = False
        if is_tried_again:  # outside of the block above, whose time is not that of the next tries
            for one in batch:
                if not one.answer.done():
                    self._process([one])
            return
        assert self._loop is not None
        # Futures belong to the event loop: this thread may not touch them.
        self._loop.call_soon_threadsafe(self._deliver, batch, answers, turn.seconds)

    def _pause(self, batch: list[_Queued]) -> None:
        """Between two steps: stop if nobody waits; first do what has a higher priority."""
        # Read without the lock: an answer that is cancelled just now is seen at the next step.
        if all(one.answer.done() for one in batch):
            raise Abandoned
        priority = batch[0].priority
        while any(self._counts[:priority]):
            with self._changed:
                others = [other for other, count in enumerate(self._counts[:priority]) if count]
                found = self._scheduler.before(priority, others)
                urgent = [] if found is None else self._next_batch(found)
            if not urgent:  # this batch has had less than its share: it goes on
                return
            # A context of its own: what is watched, or when to pause, is nothing to the others.
            Context().run(self._process, urgent)

    def _deliver(self, batch: list[_Queued], answers: Sequence[Any], seconds: float) -> None:
        """On the event loop: give each request its answer."""
        size = sum(one.item.size for one in batch)
        # A running mean, so that Retry-After follows what the models are busy with now.
        self._seconds_per_size += 0.2 * (seconds / size - self._seconds_per_size)
        self._on_batch(len(batch), seconds)
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():  # nobody waits for it any more
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)


class _StrideScheduler:
    """Which priority is next on the thread: the one that has used least of it, for its share.

    Stride scheduling (Waldspurger and Weihl 1995), with measured time in place of fixed quanta.
    """

    # With strict priorities instead, a stream of small requests would keep large ones waiting for ever.

    def __init__(self) -> None:
        self._used = [0.0] * len(SHARES)
        """Seconds of each priority, divided by its share."""
        self._stack: list[_TimeSlice] = []
        """The batches in work, the last of them now; the others pause."""

    def at(self, priority: int) -> "_TimeSlice":
        """A block whose time is charged to this priority."""
        return _TimeSlice(self, priority)

    def joins(self, priority: int, waiting: Sequence[int]) -> None:
        """Work of this priority comes. For the time in which it had none, nothing is owed on either side."""
        busy = {*waiting, *(turn.priority for turn in self._stack)}
        if not busy:
            self._used[:] = [0.0] * len(SHARES)
        elif priority not in busy:
            self._used[priority] = max(self._used[priority], min(self._used[other] for other in busy))

    def next(self, waiting: Sequence[int]) -> int | None:
        """Of these priorities, the one whose turn it is."""
        # Of equal ones the first, which is the highest: at the beginning all have used nothing.
        return min(waiting, key=lambda priority: self._used[priority], default=None)

    def before(self, priority: int, others: Sequence[int]) -> int | None:
        """Of `others`, the one whose turn comes before the current batch, if any."""
        # The current batch has used time since it was last counted, and must not be judged by less.
        self._stack[-1].charge()
        found = self.next(others)
        return found if found is not None and self._used[found] <= self._used[priority] else None


class _TimeSlice:
    """Some time on the thread, charged to a priority."""

    def __init__(self, scheduler: _StrideScheduler, priority: int) -> None:
        self.priority = priority
        self.seconds = 0.0
        """How long it was worked on, without the batches that came between."""
        self._scheduler = scheduler

    def __enter__(self) -> "_TimeSlice":
        if self._scheduler._stack:
            self._scheduler._stack[-1].charge()
        self._scheduler._stack.append(self)
        self._since = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.charge()
        self._scheduler._stack.pop()
        if self._scheduler._stack:
            self._scheduler._stack[-1]._since = time.monotonic()

    def charge(self) -> None:
        """Charge the time since the last charge."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._scheduler._used[self.priority] += (now - self._since) / SHARES[self.priority]
        self._since = now
