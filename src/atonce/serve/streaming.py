"""A translation as it is written, in server-sent events."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from starlette.responses import StreamingResponse

from atonce.errors import AtonceError
from atonce.serve.answering import Answering
from atonce.serve.faults import Fault, message_of, too_slow
from atonce.serve.messages import OutputMessage, TextRequest, json_text
from atonce.serve.served import Served
from atonce.serve.wishes import StreamWish

UNSENT = 8
"""Events that wait for who reads them. Each has the whole text so far."""


def event_stream(answering: Answering, served: Served, body: TextRequest, *, work: int) -> StreamingResponse:
    """`piece` events with the text so far, then `done` with all, or `fault`. `work`: see `Answering.answers`.

    Raises Fault for a wrong wish.
    """
    wrong = [
        name
        for name, is_wrong in (
            ("texts", len(body.texts) > 1),
            ("beam", body.beam not in (None, 1)),
            ("nbest", body.nbest > 1),
            ("temperature", body.temperature > 0),
            ("alignment", body.alignment),
            ("attention", body.attention),
        )
        if is_wrong
    ]
    if wrong:
        raise Fault(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{wrong[0]} does not go with stream",
            why="one text is written piece by piece, by greedy search, before anything else is known of it",
            fix="send one text" if wrong[0] == "texts" else f"leave {wrong[0]} out, or stream",
        )
    return StreamingResponse(_events(answering, served, body.texts[0], work), media_type="text/event-stream")


async def _events(answering: Answering, served: Served, text: str, work: int) -> AsyncIterator[str]:
    loop, seconds = asyncio.get_running_loop(), answering.limits.seconds
    deadline = loop.time() + seconds
    heard = _Heard()

    def hear(so_far: str) -> None:
        loop.call_soon_threadsafe(heard.put, so_far)

    asked = asyncio.create_task(answering.asked(StreamWish(served, hear), [text], work=work))
    asked.add_done_callback(lambda _: heard.put(None))
    try:
        while (so_far := await asyncio.wait_for(heard.get(), deadline - loop.time())) is not None:
            yield _event("piece", {"text": so_far})
        (found,) = asked.result()
        assert isinstance(found, OutputMessage)
        yield _event("done", {"model": served.name, "text": found.text, "score": found.score})
    except TimeoutError:
        yield _event("fault", message_of(too_slow(seconds)).model_dump())
    except AtonceError as error:
        yield _event("fault", message_of(error).model_dump())
    finally:
        asked.cancel()  # the search stops at its next step


class _Heard:
    """What is to be sent, in order. Who reads slowly misses some on the way, and not the last."""

    def __init__(self) -> None:
        self._texts: deque[str | None] = deque()
        self._more = asyncio.Event()

    def put(self, so_far: str | None) -> None:
        """The output so far; None: it is done."""
        if so_far is not None and len(self._texts) >= UNSENT:
            self._texts.pop()
        self._texts.append(so_far)
        self._more.set()

    async def get(self) -> str | None:
        """The next."""
        while not self._texts:
            self._more.clear()
            await self._more.wait()
        return self._texts.popleft()


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json_text(data)}\n\n"
