"""The REST interface: the app, put together of its routes."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import torch
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import atonce
from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator
from atonce.errors import AtonceError
from atonce.models.device import give_memory_back
from atonce.serve.classify import classify_routes
from atonce.serve.dispatcher import Batcher, ClientDisconnected, Dispatcher, run_job
from atonce.serve.errors import (
    FaultMessage,
    HTTPError,
    internal_error,
    message_of,
    models_unavailable,
    of_http_exception,
    of_validation,
    unprocessable,
)
from atonce.serve.inspect import inspect_routes
from atonce.serve.limits import Limits, fit_batch_sizes
from atonce.serve.messages import REFUSALS, ClassifyRequest, HealthResponse, ModelsResponse, TextRequest
from atonce.serve.metrics import CLIENT_CLOSED_REQUEST, Metrics, MetricsMiddleware
from atonce.serve.middleware import GuardMiddleware, HeadMiddleware
from atonce.serve.page_files import page_routes
from atonce.serve.registry import ModelRegistry
from atonce.serve.run_status import run_routes
from atonce.serve.translate import translate_routes


def build_app(
    models: ModelRegistry,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
) -> ASGIApp:
    """The app. `token`: bearer token that requests must send, if any. `hosts`: allowed names; None: any."""
    limits = limits or Limits()
    # An image reader has no limits of its own to fit: it is not served over REST.
    for one in models.by_name.values():
        if isinstance(one.system, Translator | Classifier):
            fit_batch_sizes(one.system, limits)
    counts = Metrics()
    batcher = Batcher(
        partial(run_job, threads=torch.get_num_threads()),
        batch_size=limits.batch_tokens,
        wait=limits.wait / 1000,  # batching counts in seconds
        capacity=limits.queue,
        on_batch=counts.count_batch,
        cleanup=give_memory_back,
    )

    # The thread of the models lives as long as the app: at the end it finishes all that was accepted.
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with batcher:
            yield

    app = FastAPI(
        title="atonce",
        version=atonce.__version__,
        summary="Trained sequence models: translate, summarize, classify, and see what they look at.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; the page has its own at /docs
        redoc_url=None,
        responses={500: {"model": FaultMessage, "description": "An internal error."}},
    )
    dispatcher = Dispatcher(batcher, limits)
    app.include_router(_status_routes(models, batcher, counts))
    for routes in (translate_routes, classify_routes, inspect_routes):
        app.include_router(routes(models, dispatcher))
    app.include_router(run_routes(models.folders, dispatcher))
    app.include_router(page_routes())
    _answer_errors(app)
    _describe_limits(app, limits)
    # Around the framework, and not inside it as its middlewares are: so that its own failures are seen, too.
    guarded = GuardMiddleware(app, limits=limits, token=token, hosts=hosts)
    # Metrics are outside of the guard, to count what it refuses; all within HEAD, to see a GET.
    return HeadMiddleware(MetricsMiddleware(guarded, metrics=counts))


def _status_routes(models: ModelRegistry, batcher: Batcher, counts: Metrics) -> APIRouter:
    """What is served, and how the server is."""
    router = APIRouter()

    @router.get("/v1/models", responses={401: REFUSALS[401]})
    async def list_models() -> ModelsResponse:
        """The models that are served."""
        return ModelsResponse(models=[one.message() for one in models.by_name.values()])

    # That the event loop answers is not enough: without the thread of the models nothing would be translated.
    @router.get(
        "/health", responses={503: {"model": FaultMessage, "description": "The models do not answer."}}
    )
    async def health() -> HealthResponse:
        """Whether the server answers, and the thread that the models run on is alive."""
        if not batcher.is_alive:
            raise models_unavailable()
        return HealthResponse(status="ok", waiting=batcher.waiting)

    @router.get("/metrics", response_class=PlainTextResponse, responses={401: REFUSALS[401]})
    async def metrics() -> Response:
        """Counts and times, in the text format of Prometheus."""
        # The version is that of the text format that prometheus_client writes.
        return Response(
            counts.text(lambda: batcher.waiting), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    return router


def _answer_errors(app: FastAPI) -> None:
    """Every refusal is JSON of the same form."""
    known = {*TextRequest.model_fields, *ClassifyRequest.model_fields}

    def answer(error: HTTPError) -> JSONResponse:
        return JSONResponse(message_of(error).model_dump(), status_code=error.status, headers=error.headers)

    @app.exception_handler(HTTPError)
    async def of_ours(_: Request, error: HTTPError) -> JSONResponse:
        return answer(error)

    # What search and explanations refuse (a layer that there is not, …) is a mistake in the request: 422.
    @app.exception_handler(AtonceError)
    async def of_models(_: Request, error: AtonceError) -> JSONResponse:
        return answer(unprocessable(error.what, why=error.why, fix=error.fix))

    # pydantic's own form repeats the input, of any size, and has no fix.
    @app.exception_handler(RequestValidationError)
    async def of_fields(_: Request, error: RequestValidationError) -> JSONResponse:
        return answer(of_validation(error, known))

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> JSONResponse:
        return answer(of_http_exception(request, error))

    # Nobody reads it; it is for the metrics.
    @app.exception_handler(ClientDisconnected)
    async def of_nobody(_: Request, error: ClientDisconnected) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    # Starlette raises it again once it is answered, so that the server's log has the traceback.
    @app.exception_handler(Exception)
    async def of_bugs(_: Request, error: Exception) -> JSONResponse:
        return answer(internal_error())


def _describe_limits(app: FastAPI, limits: Limits) -> None:
    """Write the limits of what is sent into the OpenAPI description, so that clients know them.

    Only of requests: what is answered may be longer.
    """
    described: Callable[[], dict[str, Any]] = app.openapi
    most = {"maxItems": limits.texts_of_a_request}

    def openapi() -> dict[str, Any]:
        # FastAPI keeps the schema: written a second time, each description would have its sentence twice.
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = described()
        # By the names of fields: pydantic cannot know the limits, which are those of this one server.
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
        _describe_costs(schema, limits)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_costs(schema: dict[str, Any], limits: Limits) -> None:
    """Say what cannot be checked without the model: how many tokens, how much work, how much memory."""
    inspected = f"At most {limits.inspected:,} tokens of the model's, the end included (--max-inspected)."
    long = f"At most {limits.tokens:,} tokens of the model's each (--max-tokens)"
    work = f"the tokens of all times the outputs of each at most {limits.work:,} (--max-work)."
    memory = f"The estimate of what the request needs is at most {limits.memory:,} MB (--max-memory)."
    for name, message in schema["components"]["schemas"].items():
        if not name.endswith("Request"):
            continue
        fields = message["properties"]
        if name == "TextRequest":
            said = {"texts": f"{long}; {work}", "attention": inspected, "alignment": inspected}
        elif name == "LookRequest":
            # Of a text in segments nothing is inspected: there only --max-tokens counts.
            said = {
                "text": f"{long}; what is read at once: {inspected}",
                "target": inspected,
                "prefix": inspected,
            }
        else:
            said = {field: inspected for field in ("text", "target", "prefix") if field in fields}
        for field, sentence in said.items():
            fields[field]["description"] = f"{fields[field].get('description', '')} {sentence}".strip()
        message["description"] = f"{message.get('description', '')} {memory}".strip()
