"""Running the app: a server that stops when it is told to, and finishes what it has accepted."""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from atonce.errors import AtonceError, reason
from atonce.serve.errors import message_of, not_http

HEADER_SECONDS = 10.0
"""Within which the head of a request must have arrived, from its first byte, or from the connection on."""
KEEP_ALIVE_SECONDS = 30
MOST_CONNECTIONS = 2_000
"""More are closed as they come."""
BACKLOG = 2_048
READ_AT_ONCE = 16 * 2**10
"""Bytes: asyncio reads 256 KiB, of all that send before any of it is looked at, and h11 copies it twice."""
UNREAD_SECONDS = 30.0
"""Within which an answer is to be read, or the connection is closed."""
MOST_UNREAD = 64 * 2**20
"""Bytes of answers that wait to be read, of all connections; past it, that of which most waits is closed."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1, with an end to the patience with who sends half a head, or nothing (a slow loris)."""

    seconds = HEADER_SECONDS
    unread_seconds = UNREAD_SECONDS
    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        transport.max_size = READ_AT_ONCE  # type: ignore[attr-defined]
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait no more once a request is complete up to its body; for the next head, anew."""
        self._wait()
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP/1.1, as all is refused: in JSON."""
        if self.conn.our_state in (h11.DONE, h11.IDLE, h11.SEND_RESPONSE):
            content = message_of(not_http()).model_dump_json().encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"connection", b"close"),
            ]
            try:
                head = self.conn.send(h11.Response(status_code=400, headers=headers, reason=b"Bad Request"))
                self.transport.write((head or b"") + content)
            except h11.LocalProtocolError:
                pass  # an answer is under way, or over: there is no place for another
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close it; at once, where the last answer is still not taken: it would stay in memory for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """More is there than is read. It is waited for, but not for ever, and not for all who do not read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)
        others = {one: one.transport.get_write_buffer_size() for one in self.connections if one.transport}
        if sum(others.values()) > MOST_UNREAD:
            max(others, key=lambda one: others[one]).transport.abort()

    def resume_writing(self) -> None:
        """It is read."""
        super().resume_writing()
        self._stop_waiting_for_reader()

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._patience is None and not self._is_answering():
            self._patience = self.loop.call_later(self.seconds, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.close()


def run(app: ASGIApp, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted. `port` 0: any that is free. `ready`: told of the address once it answers.

    What was accepted is finished. Raises AtonceError if the address cannot be had.
    """
    with (
        listen(host, port) as listening,
        suppress(KeyboardInterrupt),
    ):  # uvicorn raises it once it has stopped
        server_of(app, lambda: ready(address_of(listening))).run(sockets=[listening])


def server_of(
    app: ASGIApp, ready: Callable[[], None], protocol: type[PatientProtocol] = PatientProtocol
) -> uvicorn.Server:
    """The server of an app. `ready`: called once it answers."""
    config = uvicorn.Config(
        app, http=protocol, log_config=None, log_level="warning", access_log=False, server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, lifespan="on", ws="none",
    )  # fmt: skip
    return _Server(config, ready)


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As before, and then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises AtonceError if the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # there it would let others have the same port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:  # a name that is none, or a part of it too long
        raise AtonceError(
            f"cannot serve at {host}:{port}",
            why=reason(error),
            fix="choose another port with --port (0: any that is free), or another address with --host",
        ) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Where it listens, as a browser has it."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
