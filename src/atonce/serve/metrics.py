"""Metrics of the server, for Prometheus."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_CLOSED_REQUEST = 499
"""The status, as nginx has it, of a request whose client disconnected before there was an answer."""
# Up to the default time limit of a request, and batches up to its most texts.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts and times since the server started."""

    def __init__(self) -> None:
        # A registry of its own: that of the module is shared by all apps of a process, as tests have them.
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "atonce_requests", "Requests answered.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "atonce_request_seconds", "How long a request took.", ["path"], buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._batches = Histogram(
            "atonce_batch_texts", "Texts in a batch.", buckets=_TEXTS, registry=self._registry
        )
        self._busy = Counter("atonce_model_seconds", "How long models worked.", registry=self._registry)
        self._waiting = Gauge("atonce_waiting_texts", "Texts that wait.", registry=self._registry)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_batch(self, texts: int, seconds: float) -> None:
        """A batch was worked on."""
        self._batches.observe(texts)
        self._busy.inc(seconds)

    def text(self, waiting: Callable[[], int]) -> bytes:
        """All metrics in the text format of Prometheus. `waiting`: how many texts are queued."""
        self._waiting.set(waiting())
        return generate_latest(self._registry)


class MetricsMiddleware:
    """Around the whole app: counts requests by the route they took."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, and count its status and its time."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = CLIENT_CLOSED_REQUEST, time.perf_counter()

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_seen)
        finally:
            # The route and not the path, of which anybody could make up any number.
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.count_request(path, status, time.perf_counter() - began)
