"""How bodies are read, and what is said of requests that are not understood, in our own words."""

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from math import isinf
from typing import Any, NoReturn

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request

from atonce.config import nearest
from atonce.serve.faults import Fault
from atonce.serve.messages import ClassifyRequest, TextRequest

_SHOWN = 100
"""Characters of what was sent that an answer repeats at most."""


class JsonRoute(APIRoute):
    """A route whose body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI has it for routes that read in their own way."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


def read_json(body: bytes) -> Any:
    """What JSON says (RFC 8259), and nothing that it says in two ways or only Python takes for JSON.

    Raises JSONDecodeError, UnicodeDecodeError, or a Fault for what is deep, twice there, or no finite number.
    """
    try:
        return _DECODER.decode(body.decode("utf-8-sig"))
    except RecursionError:
        raise _cannot_be(
            "the body is nested too deeply", "no request has more than three levels", "see /openapi.json"
        ) from None


def _number_of_constant(name: str) -> NoReturn:
    raise _cannot_be(f"{name} is no number", "JSON knows finite numbers alone", "give a finite number")


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _too_large(digits)
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise _too_large(digits)
    return number


def _too_large(digits: str) -> Fault:
    return _cannot_be(
        f"{digits[:20]}{'…' * (len(digits) > 20)} is too large a number",
        f"numbers have at most {_DIGITS} digits and are less than 1.8e308",
        "give a smaller one",
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _FIELDS:
        raise _cannot_be(
            f"an object has {len(pairs):,} fields", f"no request has more than {_FIELDS:,}", "send fewer"
        )
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _cannot_be(
                f"{key[:_SHOWN]!r} is given twice", "only one of them could be meant", "give it once"
            )
        found[key] = value
    return found


_FIELDS = 1_000
"""Of an object, each of which may be a fault to be told of: as many as layers whose heads are dropped."""
_DIGITS = 400
"""Of a whole number: to compute with more takes a time that grows with their square."""
_DECODER = json.JSONDecoder(
    parse_constant=_number_of_constant, parse_int=_integer, parse_float=_float, object_pairs_hook=_object
)


def fault_of_invalid(error: RequestValidationError) -> Fault:
    """From pydantic's first complaint."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])[:_SHOWN]
    if first["type"] == "json_invalid":
        return Fault(
            HTTPStatus.BAD_REQUEST,
            "the body is not JSON",
            why=f"{first['ctx']['error']} at character {first['loc'][-1]}",
            fix='send an object such as {"texts": ["Hello."]}, with Content-Type: application/json',
        )
    if isinstance(first.get("input"), bytes):  # it was not even tried to read it as JSON
        return _cannot_be(
            "the body was not sent as JSON",
            "its Content-Type is another, or none",
            "send the header: Content-Type: application/json",
        )
    if first["type"] == "extra_forbidden":
        known = sorted({*TextRequest.model_fields, *ClassifyRequest.model_fields})
        return _cannot_be(
            f"unknown field {place!r}",
            "a misspelt field would silently leave its default in place",
            nearest(place, known),
        )
    if first["type"] == "missing":
        what = f"{place} is missing" if place else "the body is missing"
        return _cannot_be(what, "there is nothing to work on without", "see /openapi.json for all fields")
    why, _, fix = first["msg"].removeprefix("Value error, ").partition(" -> ")
    return _cannot_be(
        f"{place or 'the body'} cannot be so",
        why,
        fix or "see /openapi.json for what it can be",
    )


def fault_of_status(request: Request, error: HTTPException) -> Fault:
    """From what the framework says: no such path, no such method, a body it cannot read."""
    status = HTTPStatus(error.status_code)
    path = request.url.path[:_SHOWN]
    if status == HTTPStatus.NOT_FOUND:
        what, why, fix = f"there is nothing at {path!r}", "no such path", "see /openapi.json for all there is"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        # Every GET is a HEAD, too (`guard.Heads`).
        allowed = (error.headers or {}).get("Allow", "another method").replace("GET", "GET, HEAD")
        what, why = f"{request.method[:20]} does not go with {path}", f"it takes {allowed}"
        return Fault(status, what, why=why, fix=f"use {allowed}", headers={"Allow": allowed})
    elif isinstance(error.__cause__, Fault):  # of `read_json`
        return error.__cause__
    elif isinstance(error.__cause__, UnicodeDecodeError):
        cause = error.__cause__
        what, why = "the body is not UTF-8", f"{cause.reason} at byte {cause.start:,}"
        fix = "send JSON in UTF-8, which has no other encoding"
    else:
        what, why = "the request is not understood", str(error.detail)
        fix = 'send an object such as {"texts": ["Hello."]}, in UTF-8'
    return Fault(status, what, why=why, fix=fix, headers=error.headers)


def _cannot_be(what: str, why: str, fix: str) -> Fault:
    return Fault(HTTPStatus.UNPROCESSABLE_ENTITY, what, why=why, fix=fix)
