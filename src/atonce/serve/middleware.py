"""Middleware: what every request passes before a route sees it, and the headers of every answer."""
# Plain ASGI around the framework: bodies are bounded while they arrive, before anything keeps them.

import asyncio
import hmac
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.serve import errors
from atonce.serve.errors import HTTPError, message_of
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
PUBLIC = ("/health", "/favicon.svg", "/page/")
"""Paths, or beginnings of paths, that need no token: they say nothing about models and texts."""
ALWAYS_ACCEPTED = 16_384
"""Bytes of a body that is accepted in any case: so many for each connection do no harm."""


class GuardMiddleware:
    """Around the whole app: requests are authorized, and bodies arrive whole, in time and not too large.

    A body is kept only if its sender is authorized, and the method has one. Any other is read to its end, as
    most clients listen only when they have sent all, and dropped as it comes.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, token: str | None, hosts: Collection[str] | None
    ) -> None:
        """`token`: bearer token that requests must send, if any. `hosts`: allowed Host names; None: any."""
        self._app = app
        self._limits = limits
        self._token = token
        self._hosts = hosts
        self._held = 0  # bytes of bodies, of all requests that are read or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a request to its end, and hand it on or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # Answers hold people's texts: no cache between is to keep them.
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            body = await self._received(scope, receive)
        except HTTPError as error:
            content = message_of(error).model_dump()
            refused = JSONResponse(content, status_code=error.status, headers=error.headers)
            await refused(scope, receive, send_guarded)
            return
        except ConnectionError:
            return  # the client has left
        size = len(body)
        again = _replayed(body, receive)
        del body  # the app drops it once it is read, and it is not to be kept here as well
        try:
            await self._app(scope, again, send_guarded)
        finally:
            self._held -= size

    async def _received(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, or none where no route reads it. Raises HTTPError, once all of it has arrived."""
        _make_relative(scope)  # first, as it may bring another Host than the headers have
        headers = Headers(scope=scope)
        refused = self._check_head(scope, headers)
        if refused is not None and headers.get("expect", "").lower() == "100-continue":
            refused.headers["Connection"] = "close"  # the body is not sent, unless it is asked for
            raise refused
        kept = scope["method"] == "POST" and not self._is_public(scope)
        body = bytearray()
        size = 0
        try:
            # One time for the whole body, not for each part: a byte a second would never end.
            async with asyncio.timeout(self._limits.seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    part = message.get("body", b"")
                    more = message.get("more_body", False)
                    size += len(part)
                    refused = refused or self._past_limits(size, len(part))
                    if refused is not None:
                        self._forget(body)
                    elif kept:
                        body += part
                        self._held += len(part)
            if refused is not None:
                raise refused
            return bytes(body)
        except BaseException as error:  # also where the task is cancelled: what is held must be counted back
            self._forget(body)
            if isinstance(error, TimeoutError):
                raise errors.body_timed_out(self._limits.seconds) from None
            raise

    def _past_limits(self, size: int, more: int) -> HTTPError | None:
        """Why `more` bytes are too many, of a body that has `size` with them."""
        # Counted as they come: Content-Length may be wrong, or missing where the body comes in chunks.
        if size > self._limits.body:
            return errors.body_too_large(self._limits.body)
        if size > ALWAYS_ACCEPTED and self._held + more > max(self._limits.bodies, self._limits.body):
            return errors.too_many_bodies()
        return None

    def _forget(self, body: bytearray) -> None:
        self._held -= len(body)
        body.clear()

    def _check_head(self, scope: Scope, headers: Headers) -> HTTPError | None:
        """Why the request is refused by its head alone, if it is."""
        # DNS rebinding: a page from elsewhere gives its own name this machine's address, and the browser lets
        # it read the answers. That name is in Host all the same.
        if self._hosts is not None:
            hosts = headers.getlist("host")
            if len(hosts) != 1 or host_name(hosts[0]) not in self._hosts:
                return errors.host_not_allowed(", ".join(hosts))
        if self._token is not None and not self._is_public(scope):
            # Two are refused: it would be open which of them counts.
            given = headers.getlist("authorization")
            scheme, _, token = given[0].strip().partition(" ") if len(given) == 1 else ("", "", "")
            # In constant time: how long it takes says nothing about how many characters were right.
            knows = hmac.compare_digest(token.strip().encode(), self._token.encode())
            if scheme.lower() != "bearer" or not knows:
                return errors.unauthorized()
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            return errors.compressed_body(headers["content-encoding"])
        return None

    @staticmethod
    def _is_public(scope: Scope) -> bool:
        return scope["path"] in ("/", "/docs") or scope["path"].startswith(PUBLIC)


class HeadMiddleware:
    """Around all the rest: HEAD is answered as GET is, without the body."""

    # FastAPI's routes know the methods they name: of a GET route, HEAD would be 405.

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


def host_name(host: str) -> str:
    """The name in a Host header: without its port and a last dot, in lower case."""
    name, colon, port = host.strip().rpartition(":")
    # The colons of an IPv6 address are part of the name, unless it is in brackets.
    if not colon or not (port.isdecimal() or not port) or (":" in name and not name.endswith("]")):
        name = host.strip()
    return name.lower().removesuffix(".")


def _make_relative(scope: Scope) -> None:
    """Of `GET http://name/path`, the form for proxies, the path, and the name as Host (RFC 9112, 3.2.2)."""
    target = scope.get("raw_path") or b""
    if not target.lower().startswith((b"http://", b"https://")):
        return
    try:
        parts = urlsplit(target.decode("latin-1"))
    except ValueError:
        return  # no route has such a path
    raw = parts.path or "/"
    name = parts.netloc.rpartition("@")[2].encode("latin-1")
    scope["path"], scope["raw_path"] = unquote(raw), raw.encode("latin-1")
    scope["headers"] = [*((key, value) for key, value in scope["headers"] if key != b"host"), (b"host", name)]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, in one piece, and then what the server sends."""
    there: bytes | None = body  # dropped once it is handed on: the app may work on it for long

    async def receive_replayed() -> Message:
        nonlocal there
        if there is not None:
            body, there = there, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_replayed
