"""What many clients ask for at once, gathered into batches: one after another, on a thread of their own."""

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

PATIENCE = 60
"""Seconds that a client is told to wait at most before it asks again."""


class Overloaded(Exception):
    """As much is waiting as may wait. `retry_after`: seconds until there should be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"ask again in {retry_after} seconds")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Item:
    """One thing to be done. `size`: how much of a batch it takes up."""

    content: Any
    size: int


@dataclass(eq=False)
class _Waiting:
    key: Hashable
    item: Item
    answer: "asyncio.Future[Any]"
    since: float


class Batcher:
    """Puts together what can be done together, and hands each answer to who asked.

    While one batch is worked on, the next gathers. When nothing is worked on, the first waits `wait` seconds
    for others. What nobody waits for any more is not done. Used as `async with`; at the end of the block all
    that was accepted has been done.
    """

    def __init__(
        self,
        work: Callable[[Any, list[Any]], Sequence[Any]],
        *,
        batch_size: int,
        wait: float,
        capacity: int,
        done: Callable[[int, float], None] = lambda items, seconds: None,
    ) -> None:
        """`work`: gives an answer for each content of a batch, all of one key; it runs on the thread.

        `capacity`: items that may wait. `done`: told of each batch how many items it had and how many seconds
        it took.
        """
        self._work = work
        self._batch_size = batch_size
        self._wait = wait
        self._capacity = capacity
        self._told = done
        self._waiting: dict[_Waiting, None] = {}  # in the order in which they came
        self._grown = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._seconds_per_size = 0.0
        self._loop: asyncio.Task[None] | None = None
        self._closing = False

    async def __aenter__(self) -> "Batcher":
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._grown.set()
        assert self._loop is not None
        await self._loop
        self._thread.shutdown()

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    async def ask(self, key: Hashable, items: Sequence[Item]) -> list[Any]:
        """The answers to `items`, in order. Raises Overloaded, or what `work` raised for one of them."""
        if self._closing or len(self._waiting) + len(items) > self._capacity:
            raise Overloaded(self._retry_after())
        loop, now = asyncio.get_running_loop(), time.monotonic()
        asked = [_Waiting(key, item, loop.create_future(), now) for item in items]
        self._waiting.update(dict.fromkeys(asked))
        self._grown.set()
        try:
            return list(await asyncio.gather(*(one.answer for one in asked)))
        finally:
            for one in asked:
                one.answer.cancel()
                self._waiting.pop(one, None)

    def _retry_after(self) -> int:
        waiting = sum(one.item.size for one in self._waiting)
        return min(PATIENCE, max(1, math.ceil(waiting * self._seconds_per_size)))

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                if self._closing:
                    return
                self._grown.clear()
                await self._grown.wait()
            await self._gather()
            if batch := self._next():
                await self._answer(batch)

    async def _gather(self) -> None:
        """Wait for more to come, until the oldest has waited long enough or a batch is full."""
        first = next(iter(self._waiting))
        while (left := first.since + self._wait - time.monotonic()) > 0 and not self._closing:
            if sum(one.item.size for one in self._waiting if one.key == first.key) >= self._batch_size:
                return
            self._grown.clear()
            try:
                async with asyncio.timeout(left):
                    await self._grown.wait()
            except TimeoutError:
                return

    def _next(self) -> list[_Waiting]:
        """The oldest, and those that go with it, as many as a batch holds: at least one."""
        batch: list[_Waiting] = []
        size = 0
        for one in self._waiting:
            if one.key != next(iter(self._waiting)).key:
                continue
            size += one.item.size
            if batch and size > self._batch_size:
                break
            batch.append(one)
        for one in batch:
            del self._waiting[one]
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Work on a batch. If it fails each is tried alone, so that only who is at fault fails."""
        contents = [one.item.content for one in batch]
        began = time.monotonic()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._work, batch[0].key, contents
            )
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        seconds = time.monotonic() - began
        self._seconds_per_size += 0.2 * (
            seconds / sum(one.item.size for one in batch) - self._seconds_per_size
        )
        self._told(len(batch), seconds)
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():  # else nobody waits for it any more
                one.answer.set_result(answer)
