"""Translating and summarizing: texts in, texts out, whole or streamed token by token."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.responses import StreamingResponse

from atonce.data.config import Task
from atonce.decoding.search import check_drawing
from atonce.decoding.translation import Translation
from atonce.decoding.translator import Translator
from atonce.errors import AtonceError
from atonce.explain.text_heatmap import TranslationAttention, attention_of, pharaoh, word_links
from atonce.pauses import pause
from atonce.seeds import torch_seed
from atonce.serve.dispatcher import Dispatcher
from atonce.serve.errors import message_of, timed_out, unprocessable
from atonce.serve.json_format import JsonRoute, json_text
from atonce.serve.limits import (
    NUMBER,
    Limits,
    ModelSizes,
    check_memory,
    check_search,
    check_texts,
    check_tokens,
    count_tokens,
)
from atonce.serve.messages import (
    REFUSALS,
    AttentionMessage,
    LayerMessage,
    OutputMessage,
    SummarizeResponse,
    TextRequest,
    TranslateResponse,
)
from atonce.serve.registry import ModelRegistry

Answer = TypeVar("Answer", TranslateResponse, SummarizeResponse)
_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
"""The answer to a request with `stream`."""
UNSENT = 8
"""Events that wait for a client that reads slowly. Each has the whole text so far."""


def translate_routes(models: ModelRegistry, dispatcher: Dispatcher) -> APIRouter:
    """The routes for translation and summarization."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    service = _TextService(models, dispatcher)

    @router.post(
        "/v1/translate",
        response_model_exclude_none=True,
        response_model=TranslateResponse,
        responses=_STREAMED,
    )
    async def translate(body: TextRequest, request: Request) -> TranslateResponse | Response:
        """Translate texts, each by itself, in batches with those of other requests."""
        return await service.answer(
            body, request, "translation", lambda name, made: TranslateResponse(model=name, translations=made)
        )

    @router.post(
        "/v1/summarize",
        response_model_exclude_none=True,
        response_model=SummarizeResponse,
        responses=_STREAMED,
    )
    async def summarize(body: TextRequest, request: Request) -> SummarizeResponse | Response:
        """Summarize texts, each by itself, in batches with those of other requests."""
        return await service.answer(
            body, request, "summarization", lambda name, made: SummarizeResponse(model=name, summaries=made)
        )

    return router


class _TextService:
    """Checks a request, has the models work on its texts, and makes the answer."""

    def __init__(self, models: ModelRegistry, dispatcher: Dispatcher) -> None:
        self._models = models
        self._dispatcher = dispatcher
        self._limits = dispatcher.limits
        self._one_at_a_time = CapacityLimiter(1)

    async def answer(
        self, body: TextRequest, request: Request, task: Task, message: Callable[[str, list[Any]], Answer]
    ) -> Answer | Response:
        """The message that `message` makes of the model's name and the outputs, or a stream of events."""
        served = self._models.choose(body.model, task)
        translator = served.translator
        # From what is cheap to what is not: nothing is tokenized before it is known to be short.
        check_texts(body.texts, self._limits)
        check = partial(_checked_work, translator, body, self._limits)
        work = await self._dispatcher.checked(check, body.texts)
        if body.stream:
            _check_stream(body)
            events = _events(self._dispatcher, served.name, translator, body.texts[0], work)
            return StreamingResponse(events, media_type="text/event-stream")
        if body.temperature > 0:
            check_drawing(body.temperature, body.beam)

        # Making JSON is part of the request's time: weights of attention can be millions of numbers.
        async def in_full() -> Answer | Response:
            found = message(served.name, await self._outputs(translator, body, work))
            return await self._as_json(found) if body.attention else found

        return await self._dispatcher.in_time(request, in_full())

    async def _outputs(self, translator: Translator, body: TextRequest, work: int) -> list[Any]:
        job = TranslateJob(
            translator, body.beam, body.nbest, body.alignment, body.attention, self._limits
        )  # fmt: skip
        if body.temperature == 0:
            return await self._dispatcher.submit(job, body.texts, work=work)
        sample = SampleJob(job, body.temperature, body.seed)
        # All texts as one item: their random numbers are drawn one after another.
        (outputs,) = await self._dispatcher.submit(sample, [tuple(body.texts)], work=work)
        return list(outputs)

    async def _as_json(self, found: TranslateResponse | SummarizeResponse) -> Response:
        # Very many numbers: beside the event loop, and one answer at a time, as each is in memory twice.
        dump = partial(found.model_dump_json, exclude_none=True)
        text = await to_thread.run_sync(dump, limiter=self._one_at_a_time)
        return Response(text, media_type="application/json")


def _checked_work(translator: Translator, body: TextRequest, limits: Limits) -> int:
    """The cost of the texts, in tokens times outputs. Raises HTTPError if it is too high."""
    # Samples are drawn from one hypothesis each, and a stream is greedy.
    beam = 1 if body.stream or body.temperature > 0 else body.beam or translator.config.beam
    return check_search(
        translator, body.texts, max(beam, body.nbest), limits,
        alignment=body.alignment, attention=body.attention,
    )  # fmt: skip


@dataclass(frozen=True)
class TranslateJob:
    """How texts are translated, and what is sent of it. Texts of equal jobs are batched together."""

    translator: Translator
    beam: int | None
    nbest: int
    alignment: bool
    attention: bool
    limits: Limits

    def run(self, texts: list[str]) -> list[OutputMessage | Exception]:
        """The output of each text, or the error of a text."""
        found = self.translator.translate(texts, beam=self.beam, nbest=self.nbest)
        return [self.output(text, one) for text, one in zip(texts, found, strict=True)]

    def output(self, text: str, found: Translation) -> OutputMessage | Exception:
        """One output as it is sent, or the error that says why it would take too much."""
        seen = None
        if (self.alignment or self.attention) and not self.translator.is_blank(text):
            pause()
            try:
                self._check(text, found.text)
                seen = attention_of(self.translator, text, found.text)
            except AtonceError as error:  # of this text alone: others of the batch are not to fail with it
                return error
        return OutputMessage(
            text=found.text,
            score=found.score,
            alternatives=list(found.alternatives) if self.nbest > 1 else None,
            alignment=(pharaoh(word_links(seen)) if seen else "") if self.alignment else None,
            attention=_attention_message(seen) if self.attention and seen else None,
        )

    def _check(self, text: str, output: str) -> None:
        """Check the limits again: only now is it known how long the output is."""
        source, target = (count_tokens(self.translator, one) for one in (text, output))
        check_tokens("an output", target, self.limits, inspected=True)
        sizes = ModelSizes(self.translator.model)
        needed = sizes.record(source, target) + self.attention * NUMBER * sizes.weights(source, target)
        check_memory("attention", needed, self.limits)


def _attention_message(found: TranslationAttention) -> AttentionMessage:
    return AttentionMessage(
        source=found.source,
        target=found.target,
        layers=[
            LayerMessage(layer=one.layer, role=one.role, weights=one.weights[0].float().cpu().numpy())
            for one in found.record.values()
        ],
    )


@dataclass(frozen=True)
class SampleJob:
    """Texts whose outputs are drawn at random. A request goes by itself: others change nothing of it."""

    job: TranslateJob
    temperature: float
    seed: int | None

    def run(self, requests: list[tuple[str, ...]]) -> list[Sequence[OutputMessage] | Exception]:
        """The outputs of each request, or its error."""
        return [self._samples(texts) for texts in requests]

    def _samples(self, texts: tuple[str, ...]) -> Sequence[OutputMessage] | Exception:
        translator = self.job.translator
        found = translator.translate(
            texts,
            nbest=self.job.nbest,
            temperature=self.temperature,
            generator=generator_of(translator, self.seed),
        )
        outputs: list[OutputMessage] = []
        for text, one in zip(texts, found, strict=True):
            output = self.job.output(text, one)
            if isinstance(output, Exception):  # all texts are one item, which has one answer or one error
                return output
            outputs.append(output)
        return outputs


def generator_of(translator: Translator, seed: int | None) -> torch.Generator:
    """A generator for one request alone, from its seed; without one, from the system's entropy."""
    generator = torch.Generator(translator.device)
    if seed is None:
        generator.seed()  # a new Generator always starts from the same number
    else:
        generator.manual_seed(torch_seed(seed))
    return generator


@dataclass(frozen=True)
class StreamJob:
    """One text, token by token. `on_token` has the output so far, on the thread of the models."""

    translator: Translator
    on_token: Callable[[str], None]

    def run(self, texts: list[str]) -> list[OutputMessage]:
        """The output of each text."""
        # One after another: jobs are equal only with the same `on_token`, so there is one text.
        found = [self.translator.stream(text, self.on_token) for text in texts]
        return [OutputMessage(text=one.text, score=one.score) for one in found]


def _check_stream(body: TextRequest) -> None:
    """Raise HTTPError for options that cannot be streamed."""
    is_wrong = {
        "texts": len(body.texts) > 1,
        "beam": body.beam not in (None, 1),
        "nbest": body.nbest > 1,
        "temperature": body.temperature > 0,
        "alignment": body.alignment,
        "attention": body.attention,
    }
    wrong = [name for name, wrong in is_wrong.items() if wrong]
    if wrong:
        raise unprocessable(
            f"{wrong[0]} does not go with stream",
            why="one text is written token by token, by greedy search, before anything else is known of it",
            fix="send one text" if wrong[0] == "texts" else f"leave {wrong[0]} out, or stream",
        )


async def _events(
    dispatcher: Dispatcher, model: str, translator: Translator, text: str, work: int
) -> AsyncIterator[str]:
    """Server-sent events: `token` with the text so far, then `done` with all, or `fault`."""
    # The time of the request counts from here, as the response has begun and `in_time` is over.
    loop, seconds = asyncio.get_running_loop(), dispatcher.limits.seconds
    deadline = loop.time() + seconds
    unsent = _Unsent()

    def on_token(so_far: str) -> None:  # on the thread of the models, where asyncio.Event may not be set
        loop.call_soon_threadsafe(unsent.put, so_far)

    search = asyncio.create_task(dispatcher.submit(StreamJob(translator, on_token), [text], work=work))
    search.add_done_callback(lambda _: unsent.put(None))
    try:
        while (so_far := await asyncio.wait_for(unsent.get(), deadline - loop.time())) is not None:
            yield _event("token", {"text": so_far})
        (found,) = search.result()
        assert isinstance(found, OutputMessage)
        # The status 200 is sent long since: an error can only be an event of its own.
        yield _event("done", {"model": model, "text": found.text, "score": found.score})
    except TimeoutError:
        yield _event("fault", message_of(timed_out(seconds)).model_dump())
    except AtonceError as error:
        yield _event("fault", message_of(error).model_dump())
    finally:
        search.cancel()  # it stops at its next step


class _Unsent:
    """Texts to be sent, in order. A slow reader misses some of them, but never the last."""

    def __init__(self) -> None:
        self._texts: deque[str | None] = deque()
        self._more = asyncio.Event()

    def put(self, so_far: str | None) -> None:
        """Add the output so far; None at the end."""
        # The newest of those unsent is replaced: each has the whole text so far.
        if so_far is not None and len(self._texts) >= UNSENT:
            self._texts.pop()
        self._texts.append(so_far)
        self._more.set()

    async def get(self) -> str | None:
        """Wait for the next text."""
        while not self._texts:
            self._more.clear()
            await self._more.wait()
        return self._texts.popleft()


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json_text(data)}\n\n"
