"""The REST interface: what can be asked, and what is answered."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

import torch
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import atonce
from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator
from atonce.errors import AtonceError
from atonce.models.device import give_memory_back
from atonce.serve.answering import Answering, Gone
from atonce.serve.batching import Batcher
from atonce.serve.costs import fit
from atonce.serve.faults import Fault, FaultMessage, message_of, no_models
from atonce.serve.guard import Guard, Heads
from atonce.serve.limits import Limits
from atonce.serve.measures import CLIENT_GONE, Counted, Measures
from atonce.serve.messages import (
    REFUSALS,
    HealthResponse,
    ModelsResponse,
)
from atonce.serve.page_routes import page_routes
from atonce.serve.refusing import fault_of_invalid, fault_of_status
from atonce.serve.served import Models
from atonce.serve.text_routes import text_routes
from atonce.serve.view_routes import view_routes
from atonce.serve.wishes import grant


def build_app(
    models: Models,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """The app. `token`: what requests must know, if anything. `hosts`: names it goes by; None for any."""
    limits = limits or Limits()
    for one in models.by_name.values():
        if isinstance(one.system, Translator | Classifier):
            fit(one.system, limits)
    measures = Measures()
    batcher = Batcher(
        partial(grant, threads=torch.get_num_threads()),
        batch_size=limits.batch_tokens,
        wait=limits.wait / 1000,
        capacity=limits.queue,
        done=measures.count_batch,
        tidy=give_memory_back,
    )

    @asynccontextmanager
    async def working(_: FastAPI) -> AsyncIterator[None]:
        async with batcher:
            yield

    app = FastAPI(
        title="atonce",
        version=atonce.__version__,
        summary="Trained sequence models: translate, summarize, classify, and see what they look at.",
        lifespan=working,
        docs_url=None,  # they would be loaded from elsewhere
        redoc_url=None,
        responses={500: {"model": FaultMessage, "description": "A fault of the server."}},
    )
    answering = Answering(batcher, limits)

    @app.get("/v1/models", responses={401: REFUSALS[401]})
    async def list_models() -> ModelsResponse:
        """The models that are served."""
        return ModelsResponse(models=[one.message() for one in models.by_name.values()])

    @app.get("/health", responses={503: {"model": FaultMessage, "description": "The models do not answer."}})
    async def health() -> HealthResponse:
        """That the server is there, and the thread that the models run on."""
        if not batcher.is_working:
            raise no_models()
        return HealthResponse(status="ok", waiting=batcher.waiting)

    @app.get("/metrics", response_class=PlainTextResponse, responses={401: REFUSALS[401]})
    async def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        return Response(
            measures.text(lambda: batcher.waiting), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    app.include_router(text_routes(models, answering))
    app.include_router(view_routes(models, answering))
    app.include_router(page_routes())
    _speak_of_faults(app)
    _describe_limits(app, limits)
    # Around the framework, and not inside it as its middlewares are: so that its own failures are seen, too.
    guarded = Guard(app, limits=limits, token=token, hosts=hosts)
    return Heads(Counted(guarded, measures=measures))


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
    """Write the limits of what is sent into the OpenAPI description, so that clients know them.

    Only of requests: what is answered may be longer.
    """
    described: Callable[[], dict[str, Any]] = app.openapi
    most = {"maxItems": limits.texts_of_a_request}

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:  # FastAPI keeps it: as it was described below
            return app.openapi_schema
        schema = described()
        for message, described_as in schema["components"]["schemas"].items():
            if not message.endswith("Request"):
                continue
            for name, field in described_as.get("properties", {}).items():
                for choice in field.get("anyOf", [field]):
                    if name == "images" and choice.get("type") == "array":
                        choice.update(most)
                    elif name == "texts" and choice.get("type") == "array":
                        choice.update(most)
                        choice["items"]["maxLength"] = limits.characters
                    elif name in ("text", "target", "prefix") and choice.get("type") == "string":
                        choice["maxLength"] = limits.characters
        _describe_pieces(schema, limits)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_pieces(schema: dict[str, Any], limits: Limits) -> None:
    """Say what cannot be checked without the model: how many pieces, how much work, how much memory."""
    looked = f"At most {limits.looked:,} pieces of the model's, the end included (--max-looked)."
    long = f"At most {limits.pieces:,} pieces of the model's each (--max-pieces)"
    work = f"the pieces of all times the outputs of each at most {limits.work:,} (--max-work)."
    memory = f"The estimate of what the request needs is at most {limits.memory:,} MB (--max-memory)."
    for name, message in schema["components"]["schemas"].items():
        if not name.endswith("Request"):
            continue
        fields = message["properties"]
        if name == "TextRequest":
            said = {"texts": f"{long}; {work}", "attention": looked, "alignment": looked}
        elif name == "LookRequest":
            said = {"text": f"{long}; what is read at once: {looked}", "target": looked, "prefix": looked}
        else:
            said = {field: looked for field in ("text", "target", "prefix") if field in fields}
        for field, sentence in said.items():
            fields[field]["description"] = f"{fields[field].get('description', '')} {sentence}".strip()
        message["description"] = f"{message.get('description', '')} {memory}".strip()
