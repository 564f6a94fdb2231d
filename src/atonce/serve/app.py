"""The REST interface: what can be asked, and what is answered."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import atonce
from atonce.data.config import Task
from atonce.errors import AtonceError
from atonce.serve.answering import Answering, Gone
from atonce.serve.batching import Batcher
from atonce.serve.faults import Fault, FaultMessage, message_of, too_long, too_many_texts
from atonce.serve.guard import Guard
from atonce.serve.limits import Limits
from atonce.serve.measures import CLIENT_GONE, Counted, Measures
from atonce.serve.messages import (
    REFUSALS,
    ClassifyRequest,
    ClassifyResponse,
    HealthResponse,
    ModelsResponse,
    SummarizeResponse,
    TextRequest,
    TranslateResponse,
)
from atonce.serve.refusing import fault_of_invalid, fault_of_status
from atonce.serve.routes import page_routes, view_routes
from atonce.serve.served import LabelWish, Models, TextWish, decoded_image, grant, image_shape
from atonce.serve.streaming import event_stream

_STREAMED = {"text/event-stream": {"schema": {"type": "string"}}}
"""What an answer is where `stream` was asked for."""


def build_app(
    models: Models,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """The app. `token`: what requests must know, if anything. `hosts`: names it goes by; None for any."""
    limits = limits or Limits()
    measures = Measures()
    batcher = Batcher(
        grant,
        batch_size=limits.batch_tokens,
        wait=limits.wait / 1000,
        capacity=limits.queue,
        done=measures.count_batch,
    )

    @asynccontextmanager
    async def working(_: FastAPI) -> AsyncIterator[None]:
        async with batcher:
            yield

    app = FastAPI(
        title="atonce",
        version=atonce.__version__,
        summary="Trained sequence models: translate, summarise, classify, and see what they look at.",
        lifespan=working,
        docs_url=None,  # they would be loaded from elsewhere
        redoc_url=None,
        responses={500: {"model": FaultMessage, "description": "A fault of the server."}},
    )
    answering = Answering(batcher, limits)

    @app.post(
        "/v1/translate",
        response_model_exclude_none=True,
        response_model=TranslateResponse,
        responses={**REFUSALS, 200: {"content": _STREAMED}},
    )
    async def translate(body: TextRequest, request: Request) -> TranslateResponse | Response:
        """Translate texts, each by itself, in batches with those of other requests."""
        found = await made_of_texts(body, request, "translation")
        return (
            found if isinstance(found, Response) else TranslateResponse(model=found[0], translations=found[1])
        )

    @app.post(
        "/v1/summarize",
        response_model_exclude_none=True,
        response_model=SummarizeResponse,
        responses={**REFUSALS, 200: {"content": _STREAMED}},
    )
    async def summarize(body: TextRequest, request: Request) -> SummarizeResponse | Response:
        """Summarise texts, each by itself, in batches with those of other requests."""
        found = await made_of_texts(body, request, "summarisation")
        return found if isinstance(found, Response) else SummarizeResponse(model=found[0], summaries=found[1])

    async def made_of_texts(
        body: TextRequest, request: Request, task: Task
    ) -> Response | tuple[str, list[Any]]:
        served = models.choose(body.model, task)
        check_texts(body.texts, limits)
        if body.stream:
            return event_stream(answering, served, body)
        wish = TextWish(served, body.beam, body.nbest, body.alignment, body.attention)
        return served.name, await answering.answers(request, wish, body.texts)

    @app.post("/v1/classify", responses=REFUSALS)
    async def classify(body: ClassifyRequest, request: Request) -> ClassifyResponse:
        """Label texts, or images, each by itself."""
        served = models.choose(body.model, "classification")
        sources: Sequence[Any]
        if (shape := image_shape(served)) is None:
            sources = wanted(body.texts, "texts", served.name)
            check_texts(sources, limits)
        else:
            given = wanted(body.images, "images", served.name)
            sources = [decoded_image(one, number, shape) for number, one in enumerate(given, start=1)]
        labels = await answering.answers(request, LabelWish(served), sources)
        return ClassifyResponse(model=served.name, labels=labels)

    @app.get("/v1/models", responses={401: REFUSALS[401]})
    async def list_models() -> ModelsResponse:
        """The models that are served."""
        return ModelsResponse(models=[one.message() for one in models.by_name.values()])

    @app.get("/health")
    async def health() -> HealthResponse:
        """That the server is there."""
        return HealthResponse(status="ok", waiting=batcher.waiting)

    @app.get("/metrics", response_class=PlainTextResponse, responses={401: REFUSALS[401]})
    async def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        return Response(
            measures.text(lambda: batcher.waiting), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    app.include_router(view_routes(models, answering))
    app.include_router(page_routes())
    _speak_of_faults(app)
    _describe_limits(app, limits)
    # Around the framework, and not inside it as its middlewares are: so that its own failures are seen, too.
    return Counted(Guard(app, limits=limits, token=token, hosts=hosts), measures=measures)


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Raise Fault if there are too many, or one is too long."""
    if len(texts) > limits.texts:
        raise too_many_texts(len(texts), limits.texts)
    for number, text in enumerate(texts, start=1):
        if len(text) > limits.characters:
            raise too_long(number, len(text), limits.characters)


def wanted(given: list[str] | None, name: str, model: str) -> list[str]:
    """What a model reads. Raises Fault if it was not given."""
    if given is None:
        raise Fault(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{name} is missing",
            why=f"{model} labels {name}",
            fix=f"give a list of them as {name!r}",
        )
    return given


def _speak_of_faults(app: FastAPI) -> None:
    """Every refusal is JSON of the same form."""

    def answer(error: AtonceError, status: HTTPStatus, headers: dict[str, str]) -> JSONResponse:
        return JSONResponse(message_of(error).model_dump(), status_code=status, headers=headers)

    @app.exception_handler(AtonceError)
    async def refuse(_: Request, error: AtonceError) -> JSONResponse:
        if isinstance(error, Fault):
            return answer(error, error.status, error.headers)
        return answer(error, HTTPStatus.UNPROCESSABLE_ENTITY, {})

    @app.exception_handler(Gone)
    async def say_nothing(_: Request, error: Gone) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fault = fault_of_invalid(error)
        return answer(fault, fault.status, fault.headers)

    @app.exception_handler(HTTPException)
    async def refuse_status(request: Request, error: HTTPException) -> JSONResponse:
        fault = fault_of_status(request, error)
        return answer(fault, fault.status, fault.headers)

    @app.exception_handler(Exception)
    async def confess(_: Request, error: Exception) -> JSONResponse:
        fault = Fault(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "the server failed",
            why="a fault of its own, which it has written to its log",
            fix="try something else, and tell who runs the server",
        )
        return answer(fault, fault.status, {})


def _describe_limits(app: FastAPI, limits: Limits) -> None:
    """Write the limits into the OpenAPI description, so that clients know them."""
    described: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        for message in schema["components"]["schemas"].values():
            for name, field in message.get("properties", {}).items():
                for choice in field.get("anyOf", [field]):
                    if name == "texts" and choice.get("type") == "array":
                        choice["maxItems"] = limits.texts
                        choice["items"]["maxLength"] = limits.characters
                    elif name in ("text", "target", "prefix") and choice.get("type") == "string":
                        choice["maxLength"] = limits.characters
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
