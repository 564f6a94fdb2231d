"""Errors of the server: each says what happened, why, and what to do, as JSON."""
# All in one place, so that what clients read has one tone, and each status one meaning.

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request

from atonce.config import nearest
from atonce.errors import AtonceError

SHOWN = 100
"""Characters of a request that an answer repeats at most."""


class FaultMessage(BaseModel):
    """Why a request was refused."""

    # Not `json_format.Message`: that reads and writes JSON, and raises these errors itself.
    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)

    what: str
    """What happened."""
    why: str
    """For which reason."""
    fix: str
    """What to do about it."""


class HTTPError(AtonceError):
    """An error with the status and the headers it is sent with."""

    def __init__(
        self, status: HTTPStatus, what: str, *, why: str, fix: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.status = status
        self.headers = dict(headers or {})


def message_of(error: AtonceError) -> FaultMessage:
    """The three lines of an error, as they are sent."""
    # An unpaired surrogate, which UTF-8 cannot hold, is spelt out, as the error may repeat what was sent.
    what, why, fix = (
        line.encode(errors="backslashreplace").decode() for line in (error.what, error.why, error.fix)
    )
    return FaultMessage(what=what, why=why, fix=fix)


def unprocessable(what: str, *, why: str, fix: str) -> HTTPError:
    """422: the request is understood, and cannot be done."""
    return HTTPError(HTTPStatus.UNPROCESSABLE_ENTITY, what, why=why, fix=fix)


def not_found(what: str, *, why: str, fix: str) -> HTTPError:
    """404: nothing has this name."""
    return HTTPError(HTTPStatus.NOT_FOUND, what, why=why, fix=fix)


def overloaded(retry_after: int) -> HTTPError:
    """429: the queue is full."""
    return HTTPError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the server is busy",
        why="the queue is full (--queue)",
        fix=f"try again in {retry_after} second{'s' if retry_after > 1 else ''}",
        headers={"Retry-After": str(retry_after)},
    )


def timed_out(seconds: float) -> HTTPError:
    """504: the answer was not ready in time."""
    return HTTPError(
        HTTPStatus.GATEWAY_TIMEOUT,
        "the answer was not ready in time",
        why=f"a request may take {seconds:g} seconds (--timeout)",
        fix="ask for fewer or shorter texts, or a smaller beam",
    )


def models_unavailable() -> HTTPError:
    """503: the thread of the models has ended."""
    return HTTPError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the models do not answer",
        why="internal error: the thread that they run on has ended",
        fix="restart the server; its log says what happened",
    )


def internal_error() -> HTTPError:
    """500: any exception that is not ours. What it was is for the log, not for the client."""
    return HTTPError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "the server failed",
        why="internal error; see the server log",
        fix="try another request, and tell whoever runs the server",
    )


def body_timed_out(seconds: float) -> HTTPError:
    """408: the body does not arrive."""
    return HTTPError(
        HTTPStatus.REQUEST_TIMEOUT,
        "the request did not arrive",
        why=f"its body was not complete after {seconds:g} seconds",
        fix="send it again, all at once",
        headers={"Connection": "close"},
    )


def not_http() -> HTTPError:
    """400: what came is not an HTTP request."""
    return HTTPError(
        HTTPStatus.BAD_REQUEST,
        "the request is not understood",
        why="it is not HTTP/1.1: its head is malformed, too long, or without just one Host",
        fix="use a client for HTTP/1.1, and http, not https",
    )


def body_too_large(most: int) -> HTTPError:
    """413: the body has too many bytes."""
    return HTTPError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the request is too large",
        why=f"a body may have {most:,} bytes (--max-body)",
        fix="send the texts in several requests",
        headers={"Connection": "close"},
    )


def too_many_bodies() -> HTTPError:
    """429: more bytes of bodies than may be held at once."""
    return HTTPError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the server has too many requests to read",
        why="the bodies of other requests take as much memory as they may",
        fix="try again in 1 second, or send less at once",
        headers={"Retry-After": "1"},
    )


def too_many_figures(most: int) -> HTTPError:
    """429: more figures than may be queued."""
    return HTTPError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "the server has too many figures to draw",
        why=f"{most} may be queued",
        fix="try again in a second",
        headers={"Retry-After": "1"},
    )


def compressed_body(encoding: str) -> HTTPError:
    """415: a body that would have to be decompressed."""
    return HTTPError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the body is encoded as {encoding[:SHOWN]!r}",
        why="bodies are not decompressed: a small one can hold enough to fill the memory",
        fix="send it as it is, without Content-Encoding",
    )


def unauthorized() -> HTTPError:
    """401: no token, or a wrong one."""
    return HTTPError(
        HTTPStatus.UNAUTHORIZED,
        "the token is missing or wrong",
        why="this server was started with a token (--token-file)",
        fix="send the header: Authorization: Bearer TOKEN",
        headers={"WWW-Authenticate": "Bearer"},
    )


def host_not_allowed(host: str) -> HTTPError:
    """400: not a name of this server: a page from elsewhere may have led a browser here."""
    return HTTPError(
        HTTPStatus.BAD_REQUEST,
        f"host {host[:SHOWN]!r} is not allowed",
        why="the server answers only to the names of this machine",
        fix="use http://localhost or http://127.0.0.1 with its port, or start it with --host",
    )


def of_validation(error: RequestValidationError, known: set[str]) -> HTTPError:
    """From pydantic's first error. `known`: fields that requests have."""
    # The first alone: a body can have a thousand fields that are wrong, and one is what a client mends next.
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])[:SHOWN]
    if first["type"] == "json_invalid":
        return HTTPError(
            HTTPStatus.BAD_REQUEST,
            "the body is not JSON",
            why=f"{first['ctx']['error']} at character {first['loc'][-1]}",
            fix='send an object such as {"texts": ["Hello."]}, with Content-Type: application/json',
        )
    if isinstance(first.get("input"), bytes):  # FastAPI did not even try to read it as JSON
        return unprocessable(
            "the body was not sent as JSON",
            why="its Content-Type is another, or none",
            fix="send the header: Content-Type: application/json",
        )
    if first["type"] == "extra_forbidden":
        return unprocessable(
            f"unknown field {place!r}",
            why="a misspelt field would silently leave its default in place",
            fix=nearest(place, sorted(known)),
        )
    if first["type"] == "missing":
        return unprocessable(
            f"{place} is missing" if place else "the body is missing",
            why="it is required",
            fix="see /openapi.json for all fields",
        )
    # Our own validators say what to do as well: "why -> fix". pydantic has no other place for it.
    why, _, fix = first["msg"].removeprefix("Value error, ").partition(" -> ")
    return unprocessable(
        f"invalid value for {place}" if place else "invalid body",
        why=why,
        fix=fix or "see /openapi.json for what it can be",
    )


def of_http_exception(request: Request, error: HTTPException) -> HTTPError:
    """From an error of the framework: no such path, no such method, a body it cannot read."""
    status = HTTPStatus(error.status_code)
    path = request.url.path[:SHOWN]
    if status == HTTPStatus.NOT_FOUND:
        what, why = f"unknown path {path!r}", "the server has no such route"
        fix = "see /openapi.json for all routes"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        # Every GET is a HEAD, too (`middleware.HeadMiddleware`), which the framework does not know.
        allowed = (error.headers or {}).get("Allow", "another method").replace("GET", "GET, HEAD")
        what, why = f"{request.method[:20]} does not go with {path}", f"it takes {allowed}"
        return HTTPError(status, what, why=why, fix=f"use {allowed}", headers={"Allow": allowed})
    elif isinstance(error.__cause__, HTTPError):  # of `json_format.read_json`: FastAPI wraps what it raises
        return error.__cause__
    elif isinstance(error.__cause__, UnicodeDecodeError):
        cause = error.__cause__
        what, why = "the body is not UTF-8", f"{cause.reason} at byte {cause.start:,}"
        fix = "send JSON in UTF-8"
    else:
        what, why = "the request is not understood", str(error.detail)
        fix = 'send an object such as {"texts": ["Hello."]}, in UTF-8'
    return HTTPError(status, what, why=why, fix=fix, headers=error.headers)
