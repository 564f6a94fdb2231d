"""Running the app with uvicorn: time limits for connections, and an end that finishes what was accepted."""

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
"""Time limit for the head of a request, from its first byte, or from the connection on."""
KEEP_ALIVE_SECONDS = 30
MOST_CONNECTIONS = 2_000
"""More are closed as they come."""
BACKLOG = 2_048
READ_AT_ONCE = 16 * 2**10
"""Bytes that are read from a connection at once: asyncio's 256 KiB are taken from every sender before any of
it is checked, and h11 copies them twice."""
UNREAD_SECONDS = 30.0
"""Time limit for a client to read an answer, after which the connection is closed."""
MOST_UNREAD = 64 * 2**20
"""Bytes of answers that clients have not read yet, of all connections; beyond it, the connection with the
most is closed."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a time limit for clients that send half a head, or nothing (slowloris)."""

    # uvicorn limits only the time between requests (`timeout_keep_alive`), and no unread answers.

    seconds = HEADER_SECONDS
    unread_seconds = UNREAD_SECONDS
    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        # A private attribute of asyncio's transports: there is no public way to read less.
        transport.max_size = READ_AT_ONCE  # type: ignore[attr-defined]
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop the timer once a head is complete; start it anew for the next one."""
        self._wait()
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP/1.1, in JSON like every refusal."""
        # uvicorn answers in plain text here, before the app has seen anything.
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
        """Close it; at once, where the last answer is still not read: it would stay in memory for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """The client reads more slowly than answers come: wait for it, but not for ever."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)
        others = {one: one.transport.get_write_buffer_size() for one in self.connections if one.transport}
        # The one with the most: it frees most, and clients that read are not hit.
        if sum(others.values()) > MOST_UNREAD:
            max(others, key=lambda one: others[one]).transport.abort()

    def resume_writing(self) -> None:
        """The client has read."""
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
    """Serve until interrupted. `port` 0: any free one. `ready`: called with the address once it answers.

    What was accepted is finished. Raises AtonceError if the address cannot be used.
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
    # h11, which is Python, and not the faster httptools: `PatientProtocol` is built on it.
    config = uvicorn.Config(
        app, http=protocol, log_config=None, log_level="warning", access_log=False, server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, lifespan="on", ws="none",
    )  # fmt: skip
    return _Server(config, ready)


class _Server(uvicorn.Server):
    """Calls `ready` once it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and call `ready`."""
        await super().startup(sockets)
        if self.started:  # not where the app itself failed to start
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AtonceError if the address cannot be used."""
    # Made here and not by uvicorn, which would end the process with a message of its own.
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            # A server that starts again may have its port at once, though old connections linger.
            if sys.platform != "win32":  # there it would let others have the same port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:  # UnicodeError: a name with a part that is empty or too long
        raise AtonceError(
            f"cannot serve at {host}:{port}",
            why=reason(error),
            fix="choose another port with --port (0: any that is free), or another address with --host",
        ) from None
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
