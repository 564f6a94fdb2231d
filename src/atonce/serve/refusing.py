"""What is said of requests that are not understood, in our own words."""

from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from atonce.config import nearest
from atonce.serve.faults import Fault
from atonce.serve.messages import ClassifyRequest, TextRequest

_SHOWN = 100
"""Characters of what was sent that an answer repeats at most."""


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
        allowed = (error.headers or {}).get("Allow", "another method")
        what, why = f"{request.method[:20]} does not go with {path}", f"it takes {allowed}"
        fix = f"use {allowed}"
    else:
        what, why = "the request is not understood", str(error.detail)
        fix = 'send an object such as {"texts": ["Hello."]}, in UTF-8'
    return Fault(status, what, why=why, fix=fix, headers=error.headers)


def _cannot_be(what: str, why: str, fix: str) -> Fault:
    return Fault(HTTPStatus.UNPROCESSABLE_ENTITY, what, why=why, fix=fix)
