"""Translating, summarizing, classifying: texts in, texts or labels out."""

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from atonce.data.config import Task
from atonce.data.images import ImageShape
from atonce.decoding.translator import Translator, check_drawing
from atonce.serve.answering import Answering
from atonce.serve.costs import CHARACTERS_PER_PIECE, check_texts_work
from atonce.serve.faults import Fault, too_long, too_many_texts
from atonce.serve.limits import Limits
from atonce.serve.messages import (
    REFUSALS,
    ClassifyRequest,
    ClassifyResponse,
    SummarizeResponse,
    TextRequest,
    TranslateResponse,
)
from atonce.serve.pictures import Pictures, image_shape
from atonce.serve.refusing import JsonRoute
from atonce.serve.served import Models, Served
from atonce.serve.streaming import event_stream
from atonce.serve.wishes import DrawnWish, LabelWish, TextWish

Made = TypeVar("Made", TranslateResponse, SummarizeResponse)
_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
"""What an answer is where `stream` was asked for."""


def text_routes(models: Models, answering: Answering) -> APIRouter:
    """The main work."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    pictures = Pictures(answering.limits)
    telling = CapacityLimiter(1)

    @router.post(
        "/v1/translate",
        response_model_exclude_none=True,
        response_model=TranslateResponse,
        responses=_STREAMED,
    )
    async def translate(body: TextRequest, request: Request) -> TranslateResponse | Response:
        """Translate texts, each by itself, in batches with those of other requests."""
        return await made_of_texts(
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
        return await made_of_texts(
            body, request, "summarization", lambda name, made: SummarizeResponse(model=name, summaries=made)
        )

    async def made_of_texts(
        body: TextRequest, request: Request, task: Task, answer: Callable[[str, list[Any]], Made]
    ) -> Made | Response:
        served = models.choose(body.model, task)
        check_texts(body.texts, answering.limits)
        work = await answering.checked(partial(work_of, served, body, answering.limits), body.texts)
        if body.stream:
            return event_stream(answering, served, body, work=work)
        wish = TextWish(served, body.beam, body.nbest, body.alignment, body.attention, answering.limits)
        if body.temperature > 0:
            check_drawing(body.temperature, body.beam)

        async def made() -> Made | Response:
            if body.temperature > 0:
                drawn = DrawnWish(wish, body.temperature, body.seed)
                (outputs,) = await answering.asked(drawn, [tuple(body.texts)], work=work)
            else:
                outputs = await answering.asked(wish, body.texts, work=work)
            return await told(body, answer(served.name, outputs))

        return await answering.in_time(request, made())

    async def told(body: TextRequest, found: Made) -> Made | Response:
        """An answer. One with many numbers becomes JSON at once, and beside the event loop, one by one."""
        if not body.attention:
            return found
        dump = partial(found.model_dump_json, exclude_none=True)
        return Response(await to_thread.run_sync(dump, limiter=telling), media_type="application/json")

    @router.post("/v1/classify")
    async def classify(body: ClassifyRequest, request: Request) -> ClassifyResponse:
        """Label texts, or images, each by itself."""
        served = models.choose(body.model, "classification")
        if (shape := image_shape(served)) is None:
            texts = wanted(body.texts, "texts", served.name, instead=body.images)
            check_texts(texts, answering.limits)
            work = sum(map(len, texts)) // CHARACTERS_PER_PIECE
            labels = await answering.answers(request, LabelWish(served), texts, work=work)
        else:
            given = wanted(body.images, "images", served.name, instead=body.texts)
            labels = await answering.in_time(request, of_images(served, given, shape))
        return ClassifyResponse(model=served.name, labels=labels)

    async def of_images(served: Served, given: Sequence[str], shape: ImageShape) -> list[Any]:
        work = shape.width * len(given)
        return await answering.asked(LabelWish(served), await pictures.images(given, shape), work=work)

    return router


def work_of(served: Served, body: TextRequest, limits: Limits) -> int:
    """What texts take, in pieces times outputs. Raises Fault if that is too much."""
    translator = served.system
    assert isinstance(translator, Translator)
    beam = 1 if body.stream or body.temperature > 0 else body.beam or translator.config.beam
    return check_texts_work(
        translator, body.texts, max(beam, body.nbest), limits,
        alignment=body.alignment, attention=body.attention,
    )  # fmt: skip


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Raise Fault if there are too many, or one is too long."""
    if len(texts) > limits.texts_of_a_request:
        raise too_many_texts(len(texts), limits.texts_of_a_request)
    for number, text in enumerate(texts, start=1):
        if len(text) > limits.characters:
            raise too_long(number, len(text), limits.characters)


def wanted(given: list[str] | None, name: str, model: str, *, instead: object) -> list[str]:
    """What a model reads. Raises Fault if it was not given, or something else beside it."""
    if given is None or instead is not None:
        raise Fault(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{name} is missing" if given is None else f"there is more than {name}",
            why=f"{model} labels {name}",
            fix=f"give a list of them as {name!r}, and nothing else",
        )
    return given
