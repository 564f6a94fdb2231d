"""From a request's wish to its answer, within its time, or not at all if nobody waits for it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from atonce.serve.batching import Batcher, Item, Overloaded
from atonce.serve.costs import CHARACTERS_PER_PIECE, urgency
from atonce.serve.faults import overloaded, too_slow
from atonce.serve.limits import Limits
from atonce.serve.wishes import Wish

Found = TypeVar("Found")

MANY_CHARACTERS = 10_000
"""Of texts whose pieces are counted beside the event loop, which would stand still meanwhile."""


class Gone(Exception):
    """Nobody waits for the answer."""


class Answering:
    """Asks the models for what requests want."""

    def __init__(self, batcher: Batcher, limits: Limits) -> None:
        self._batcher = batcher
        self.limits = limits

    async def answers(self, request: Request, wish: Wish, contents: Sequence[Any], *, work: int) -> list[Any]:
        """An answer to each content. `work`: how much it is, in pieces times outputs, about.

        Raises Fault: too much is waiting, or it took too long.
        """
        return await self.in_time(request, self.asked(wish, contents, work=work))

    async def in_time(self, request: Request, asked: Coroutine[Any, Any, Found]) -> Found:
        """What comes of a coroutine. It is cancelled if that takes too long (a Fault), or nobody waits."""
        work = asyncio.create_task(asked)
        gone = asyncio.create_task(_left(request))
        try:
            await asyncio.wait({work, gone}, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise Gone
            raise too_slow(self.limits.seconds)
        finally:
            work.cancel()
            gone.cancel()

    async def asked(self, wish: Wish, contents: Sequence[Any], *, work: int) -> list[Any]:
        """An answer to each content, whenever it comes. Raises Fault if too much is waiting."""
        items = [Item(content, _size(content)) for content in contents]
        try:
            return await self._batcher.ask(wish, items, urgency=urgency(work))
        except Overloaded as error:
            raise overloaded(error.retry_after) from None

    async def checked(self, check: Callable[[], Found], texts: Sequence[str]) -> Found:
        """What `check` says of texts that it cuts into pieces."""
        if sum(map(len, texts)) <= MANY_CHARACTERS:
            return check()
        return await run_in_threadpool(check)


def _size(content: Any) -> int:
    """How much of a batch it takes up, in pieces."""
    if isinstance(content, tuple):
        return sum(map(_size, content))
    return 1 + len(content) // CHARACTERS_PER_PIECE if isinstance(content, str) else 1


async def _left(request: Request) -> None:
    """Returns when who asked has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
