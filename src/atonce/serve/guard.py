"""What every request passes before it is looked at, and what every answer is sent with."""

import asyncio
import hmac
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.serve.faults import (
    Fault,
    compressed,
    message_of,
    not_sent_in_time,
    too_large,
    too_many_bodies,
    unauthorised,
    wrong_host,
)
from atonce.serve.limits import Limits

HEADERS = {
    # Scripts and styles of our own only, and none inside a page: a text that is shown can start nothing.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
OPEN = ("/health", "/favicon.svg", "/page/")
"""Paths, or beginnings of paths, that need no token: they tell nothing of models and texts."""
SMALL = 16_384
"""Bytes of a body that is always taken: so many for each connection are no harm."""


class Guard:
    """Around the whole app: bodies arrive whole, in time and not too large; who asks may ask.

    A body is kept only once its sender may ask, and for what reads one. Any other is heard out, as most
    clients listen only when they have said all, and forgotten as it comes.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, token: str | None, hosts: Collection[str] | None
    ) -> None:
        """`token`: what a request must know, if anything. `hosts`: names of the server; None for any."""
        self._app = app
        self._limits = limits
        self._token = token
        self._hosts = hosts
        self._held = 0  # bytes of bodies, of all requests that are read or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hear a request out, and hand it on or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            body = await self._heard(scope, receive)
        except Fault as fault:
            content = message_of(fault).model_dump()
            refusal = JSONResponse(content, status_code=fault.status, headers=fault.headers)
            await refusal(scope, receive, send_guarded)
            return
        except ConnectionError:
            return  # nobody is there to be answered
        size = len(body)
        again = _again(body, receive)
        del body  # it is the app's now
        try:
            await self._app(scope, again, send_guarded)
        finally:
            self._held -= size

    async def _heard(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, if it is to be read, and none otherwise. Raises Fault, once all of it has come."""
        _make_relative(scope)
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None and headers.get("expect", "").lower() == "100-continue":
            refusal.headers["Connection"] = "close"  # the body is not sent, unless it is asked for
            raise refusal
        kept = scope["method"] == "POST" and not self._is_open(scope)
        body = bytearray()
        size = 0
        try:
            async with asyncio.timeout(self._limits.seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    part = message.get("body", b"")
                    more = message.get("more_body", False)
                    size += len(part)
                    refusal = refusal or self._past_limits(size, len(part))
                    if refusal is not None:
                        self._forget(body)
                    elif kept:
                        body += part
                        self._held += len(part)
            if refusal is not None:
                raise refusal
            return bytes(body)
        except BaseException as error:
            self._forget(body)
            if isinstance(error, TimeoutError):
                raise not_sent_in_time(self._limits.seconds) from None
            raise

    def _past_limits(self, size: int, more: int) -> Fault | None:
        """Why `more` bytes are too many, of a body that has `size` with them."""
        if size > self._limits.body:
            return too_large(self._limits.body)
        if size > SMALL and self._held + more > max(self._limits.bodies, self._limits.body):
            return too_many_bodies()
        return None

    def _forget(self, body: bytearray) -> None:
        self._held -= len(body)
        body.clear()

    def _refusal(self, scope: Scope, headers: Headers) -> Fault | None:
        """Why the request is not to be heard, by its head alone."""
        if self._hosts is not None:
            hosts = headers.getlist("host")
            if len(hosts) != 1 or name_of(hosts[0]) not in self._hosts:
                return wrong_host(", ".join(hosts))
        if self._token is not None and not self._is_open(scope):
            given = headers.getlist("authorization")
            scheme, _, token = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
            knows = hmac.compare_digest(token.strip().encode(), self._token.encode())
            if scheme.lower() != "bearer" or not knows:
                return unauthorised()
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            return compressed(headers["content-encoding"])
        return None

    @staticmethod
    def _is_open(scope: Scope) -> bool:
        return scope["path"] in ("/", "/docs") or scope["path"].startswith(OPEN)


class Heads:
    """Around all the rest: HEAD is answered as GET is, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


def name_of(host: str) -> str:
    """The name in a Host header: without its port and a last dot, in small letters."""
    name, colon, port = host.strip().rpartition(":")
    if not colon or not (port.isdecimal() or not port) or (":" in name and not name.endswith("]")):
        name = host.strip()
    return name.lower().removesuffix(".")


def _make_relative(scope: Scope) -> None:
    """Of `GET http://name/path` the path, and the name as Host: what a proxy is asked (RFC 9112, 3.2.2)."""
    target = scope.get("raw_path") or b""
    if not target.lower().startswith((b"http://", b"https://")):
        return
    try:
        parts = urlsplit(target.decode("latin-1"))
    except ValueError:
        return  # there is nothing of that name
    raw = parts.path or "/"
    name = parts.netloc.rpartition("@")[2].encode("latin-1")
    scope["path"], scope["raw_path"] = unquote(raw), raw.encode("latin-1")
    scope["headers"] = [*((key, value) for key, value in scope["headers"] if key != b"host"), (b"host", name)]


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, in one piece, and then whatever comes."""
    there: bytes | None = body

    async def receive_again() -> Message:
        nonlocal there
        if there is not None:
            body, there = there, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_again
