"""Refusals: each says what happened, why, and what to do, as JSON."""

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict

from atonce.errors import AtonceError


class FaultMessage(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)

    what: str
    """What happened."""
    why: str
    """For which reason."""
    fix: str
    """What to do about it."""


class Fault(AtonceError):
    """A refusal, with the status and the headers it is sent with."""

    def __init__(
        self, status: HTTPStatus, what: str, *, why: str, fix: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.status = status
        self.headers = dict(headers or {})


def message_of(error: AtonceError) -> FaultMessage:
    """The three lines of any of our errors. Half of a surrogate pair, which cannot be sent, is spelt out."""
    what, why, fix = (
        line.encode(errors="backslashreplace").decode() for line in (error.what, error.why, error.fix)
    )
    return FaultMessage(what=what, why=why, fix=fix)


def overloaded(retry_after: int) -> Fault:
    """There is more to do than may wait."""
    return Fault(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the server has too much to do",
        why="as many texts are waiting as may wait",
        fix=f"ask again in {retry_after} second{'s' if retry_after > 1 else ''}",
        headers={"Retry-After": str(retry_after)},
    )


def too_slow(seconds: float) -> Fault:
    """An answer was not there in time."""
    return Fault(
        HTTPStatus.GATEWAY_TIMEOUT,
        "the answer was not ready in time",
        why=f"a request may take {seconds:g} seconds",
        fix="ask for fewer or shorter texts, or a smaller beam",
    )


def no_models() -> Fault:
    """The thread of the models is gone."""
    return Fault(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the models do not answer",
        why="the thread that they run on has ended, by a fault of the server's own",
        fix="start the server again; its log says what happened",
    )


def not_sent_in_time(seconds: float) -> Fault:
    """A body that does not arrive."""
    return Fault(
        HTTPStatus.REQUEST_TIMEOUT,
        "the request did not arrive",
        why=f"its body was not complete after {seconds:g} seconds",
        fix="send it again, all at once",
        headers={"Connection": "close"},
    )


def no_http() -> Fault:
    """What came is not a request."""
    return Fault(
        HTTPStatus.BAD_REQUEST,
        "the request is not understood",
        why="it is not HTTP/1.1: its head is malformed, too long, or without just one Host",
        fix="use a client for HTTP/1.1, and http, not https",
    )


def too_large(most: int) -> Fault:
    """A body of too many bytes."""
    return Fault(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the request is too large",
        why=f"a body may have {most:,} bytes",
        fix="send the texts in several requests",
        headers={"Connection": "close"},
    )


def too_many_bodies() -> Fault:
    """More bytes of bodies than may be held at once."""
    return Fault(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the server has too much to read",
        why="the bodies of other requests take as much memory as they may",
        fix="ask again in 1 second, or send less at once",
        headers={"Retry-After": "1"},
    )


def too_many_figures(most: int) -> Fault:
    """More figures than may wait to be drawn."""
    return Fault(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the server has too many figures to draw",
        why=f"{most} may wait",
        fix="ask again in a second",
        headers={"Retry-After": "1"},
    )


def compressed(encoding: str) -> Fault:
    """A body that would have to be unpacked."""
    return Fault(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the body is encoded as {encoding[:100]!r}",
        why="bodies are not unpacked: a small one can hold enough to fill the memory",
        fix="send it as it is, without Content-Encoding",
    )


def too_many_texts(given: int, most: int) -> Fault:
    """A list that is too long."""
    return Fault(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"there are {given:,} texts",
        why=f"a request may have {most:,}",
        fix="send them in several requests",
    )


def too_long(number: int, length: int, most: int) -> Fault:
    """A text that is too long. `number`: its place in the list, from 1."""
    return Fault(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"text {number} has {length:,} characters",
        why=f"a text may have {most:,}",
        fix="cut it into several texts",
    )


def unauthorised() -> Fault:
    """No token, or a wrong one."""
    return Fault(
        HTTPStatus.UNAUTHORIZED,
        "the token is missing or wrong",
        why="this server answers only who knows its token",
        fix="send the header: Authorization: Bearer TOKEN",
        headers={"WWW-Authenticate": "Bearer"},
    )


def wrong_host(host: str) -> Fault:
    """A name that this server does not go by: a page from elsewhere may have led a browser here."""
    return Fault(
        HTTPStatus.BAD_REQUEST,
        f"this is not {host[:100]!r}",
        why="the server answers only to the names of this machine",
        fix="use http://localhost or http://127.0.0.1 with its port, or start it with --host",
    )
