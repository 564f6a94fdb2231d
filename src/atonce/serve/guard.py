"""What every request passes before it is looked at, and what every answer is sent with."""

import asyncio
import hmac
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atonce.serve.faults import Fault, message_of, not_sent_in_time, too_large, unauthorised, wrong_host
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


class Guard:
    """Around the whole app: bodies arrive whole, in time and not too large; who asks may ask."""

    def __init__(
        self, app: ASGIApp, *, limits: Limits, token: str | None, hosts: Collection[str] | None
    ) -> None:
        """`token`: what a request must know, if anything. `hosts`: names of the server; None for any."""
        self._app = app
        self._limits = limits
        self._token = token
        self._hosts = hosts

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
            body = await self._body(receive)
            self._admit(scope)
        except Fault as fault:
            content = message_of(fault).model_dump()
            refusal = JSONResponse(content, status_code=fault.status, headers=fault.headers)
            await refusal(scope, receive, send_guarded)
            return
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            return  # nobody is there to be answered
        await self._app(scope, _again(body, receive), send_guarded)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. One that is too large is read to its end, or its sender would not hear why."""
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
                    size += len(part)
                    if size <= self._limits.body:
                        body += part
                    more = message.get("more_body", False)
        except TimeoutError:
            raise not_sent_in_time(self._limits.seconds) from None
        if size > self._limits.body:
            raise too_large(self._limits.body)
        return bytes(body)

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._hosts is not None:
            host = headers.get("host", "")
            name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
            if name not in self._hosts:
                raise wrong_host(host)
        if self._token is None or scope["path"] in ("/", "/docs") or scope["path"].startswith(OPEN):
            return
        given = headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise unauthorised()


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, in one piece, and then whatever comes."""
    there = True

    async def receive_again() -> Message:
        nonlocal there
        if there:
            there = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_again
