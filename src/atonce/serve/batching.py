"""What many clients ask for at once, gathered into batches: one after another, on a thread of their own."""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from typing import Any

from atonce.pauses import pausing

PATIENCE = 60
"""Seconds that a client is told to wait at most before it asks again."""
TIDY_SECONDS = 1.0
SHARES = (8, 2, 1)
"""Of the thread's time, by urgency, where all of them have work: small requests, larger ones, the largest."""


class Overloaded(Exception):
    """As much is waiting as may wait. `retry_after`: seconds until there should be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"ask again in {retry_after} seconds")
        self.retry_after = retry_after


class Abandoned(BaseException):
    """Nobody waits for what is worked on. No error: nothing between here and there shall catch it."""


@dataclass(frozen=True)
class Item:
    """One thing to be done. `size`: how much of a batch it takes up."""

    content: Any
    size: int


@dataclass(eq=False)
class _Waiting:
    key: Hashable
    urgency: int
    item: Item
    answer: "asyncio.Future[Any]"
    since: float


class Batcher:
    """Puts together what can be done together, and hands each answer to who asked.

    While one batch is worked on, the next gathers. When nothing is worked on, the first waits `wait` seconds
    for others. Used as `async with`; at the end of the block all that was accepted has been done.

    Work has an urgency, from 0, the most urgent. Where it pauses (`pauses.pause`), what is more urgent comes
    between, on the same thread; and where nobody waits for it any more it ends. Each urgency has its share of
    the thread's time, so that nothing waits for ever.
    """

    def __init__(
        self,
        work: Callable[[Any, list[Any]], Sequence[Any]],
        *,
        batch_size: int,
        wait: float,
        capacity: int,
        done: Callable[[int, float], None] = lambda items, seconds: None,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        """`work`: gives an answer for each content of a batch, all of one key; it runs on the thread.
        An answer may be an exception, for who asked.

        `capacity`: items of each urgency that may wait. `done`: told of each batch how many items it had and
        how many seconds it took. `tidy`: called on the thread when large work is done, at most every
        `TIDY_SECONDS` seconds.
        """
        self._work = work
        self._batch_size = batch_size
        self._wait = wait
        self._capacity = capacity
        self._told = done
        self._tidy = tidy
        self._tidied = -math.inf
        self._grown = Condition()
        """Held by whoever changes what waits."""
        self._waiting: dict[_Waiting, None] = {}  # in the order in which they came
        self._counts = [0] * len(SHARES)
        self._turns = _Turns()
        self._seconds_per_size = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name="models", daemon=True)
        self._closing = False

    async def __aenter__(self) -> "Batcher":
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._grown:
            self._closing = True
            self._grown.notify()
        await asyncio.to_thread(self._thread.join)

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def is_working(self) -> bool:
        """Whether the thread is there; without it nothing is answered any more."""
        return self._thread.is_alive()

    async def ask(self, key: Hashable, items: Sequence[Item], *, urgency: int = 0) -> list[Any]:
        """The answers to `items`, in order. Raises Overloaded, or what `work` raised for one of them."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        with self._grown:
            if self._closing or self._counts[urgency] + len(items) > self._capacity:
                raise Overloaded(self._retry_after(urgency))
            asked = [_Waiting(key, urgency, item, loop.create_future(), now) for item in items]
            self._turns.joins(urgency, [other for other, count in enumerate(self._counts) if count])
            self._waiting.update(dict.fromkeys(asked))
            self._counts[urgency] += len(asked)
            self._grown.notify()
        try:
            return list(await asyncio.gather(*(one.answer for one in asked)))
        finally:
            with self._grown:
                for one in asked:
                    one.answer.cancel()
                    self._take(one)

    def _take(self, one: _Waiting) -> None:
        if one in self._waiting:
            del self._waiting[one]
            self._counts[one.urgency] -= 1

    def _retry_after(self, urgency: int) -> int:
        waiting = sum(one.item.size for one in self._waiting if one.urgency <= urgency)
        return min(PATIENCE, max(1, math.ceil(waiting * self._seconds_per_size)))

    def _run(self) -> None:
        """On the thread: batch after batch, until all is done and no more will come."""
        while batch := self._gathered():
            is_large = batch[0].urgency > 0
            self._answer(batch)
            del batch  # or it would be kept until the next one comes
            if is_large and time.monotonic() - self._tidied > TIDY_SECONDS:
                self._tidy()
                self._tidied = time.monotonic()

    def _gathered(self) -> list[_Waiting]:
        """The next batch, when there is one; an empty one when no more will come."""
        with self._grown:
            while True:
                while not self._waiting:
                    if self._closing:
                        return []
                    self._grown.wait()
                first = next(iter(self._waiting))
                # Wait for more to come, until the oldest has waited long enough or a batch is full.
                while (left := first.since + self._wait - time.monotonic()) > 0 and not self._closing:
                    if (
                        sum(one.item.size for one in self._waiting if one.key == first.key)
                        >= self._batch_size
                    ):
                        break
                    self._grown.wait(left)
                found = self._turns.next([urgency for urgency, count in enumerate(self._counts) if count])
                if found is not None:
                    return self._next(found)
                del first  # who has left meanwhile, and would be kept until the next one comes

    def _next(self, urgency: int) -> list[_Waiting]:
        """The oldest of this urgency, and those that go with it, as many as a batch holds: at least one."""
        batch: list[_Waiting] = []
        size = 0
        for one in self._waiting:
            if one.urgency != urgency or (batch and one.key != batch[0].key):
                continue
            size += one.item.size
            if batch and size > self._batch_size:
                break
            batch.append(one)
        for one in batch:
            self._take(one)
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        """Work on a batch. If it fails each is tried alone, so that only who is at fault fails."""
        contents = [one.item.content for one in batch]
        with self._turns.at(batch[0].urgency) as turn:
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
        if is_tried_again:
            for one in batch:
                if not one.answer.done():
                    self._answer([one])
            return
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._tell, batch, answers, turn.seconds)

    def _pause(self, batch: list[_Waiting]) -> None:
        """Between two steps: stop if nobody waits; let what is more urgent come between."""
        if all(one.answer.done() for one in batch):
            raise Abandoned
        urgency = batch[0].urgency
        while any(self._counts[:urgency]):
            with self._grown:
                others = [other for other, count in enumerate(self._counts[:urgency]) if count]
                found = self._turns.before(urgency, others)
                more_urgent = [] if found is None else self._next(found)
            if not more_urgent:
                return
            # A context of its own: what is watched, or when to pause, is nothing to the others.
            Context().run(self._answer, more_urgent)

    def _tell(self, batch: list[_Waiting], answers: Sequence[Any], seconds: float) -> None:
        """On the event loop: hand out the answers."""
        size = sum(one.item.size for one in batch)
        self._seconds_per_size += 0.2 * (seconds / size - self._seconds_per_size)
        self._told(len(batch), seconds)
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():  # nobody waits for it any more
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)


class _Turns:
    """Who is next on the thread: the urgency that has used least of it, by its share (stride scheduling)."""

    def __init__(self) -> None:
        self._used = [0.0] * len(SHARES)
        """Seconds of each urgency, divided by its share."""
        self._stack: list[_Turn] = []
        """What is worked on, the last of them now; the others pause."""

    def at(self, urgency: int) -> "_Turn":
        """Within the block of it, time goes to this urgency."""
        return _Turn(self, urgency)

    def joins(self, urgency: int, waiting: Sequence[int]) -> None:
        """Work comes. Of the time in which there was none, nothing is owed to it, and it owes nothing."""
        busy = {*waiting, *(turn.urgency for turn in self._stack)}
        if not busy:
            self._used[:] = [0.0] * len(SHARES)
        elif urgency not in busy:
            self._used[urgency] = max(self._used[urgency], min(self._used[other] for other in busy))

    def next(self, waiting: Sequence[int]) -> int | None:
        """Of these urgencies, the one whose turn it is."""
        return min(waiting, key=lambda urgency: self._used[urgency], default=None)

    def before(self, urgency: int, others: Sequence[int]) -> int | None:
        """Of `others`, the one whose turn comes before what is worked on."""
        self._stack[-1].charge()
        found = self.next(others)
        return found if found is not None and self._used[found] <= self._used[urgency] else None


class _Turn:
    """Some time on the thread."""

    def __init__(self, turns: _Turns, urgency: int) -> None:
        self.urgency = urgency
        self.seconds = 0.0
        """How long it was worked on, without what came between."""
        self._turns = turns

    def __enter__(self) -> "_Turn":
        if self._turns._stack:
            self._turns._stack[-1].charge()
        self._turns._stack.append(self)
        self._since = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.charge()
        self._turns._stack.pop()
        if self._turns._stack:
            self._turns._stack[-1]._since = time.monotonic()

    def charge(self) -> None:
        """Count the time since it was counted last."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._turns._used[self.urgency] += (now - self._since) / SHARES[self.urgency]
        self._since = now
