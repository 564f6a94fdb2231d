"""JSON: read strictly, and written with finite numbers alone, results by their fields."""

import ast
import functools
import inspect
import json
import operator
import textwrap
from collections.abc import Callable, Coroutine
from itertools import pairwise
from math import isfinite, isinf
from types import UnionType
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

import numpy as np
from fastapi.routing import APIRoute
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    create_model,
)
from pydantic_core import CoreSchema, core_schema
from starlette.requests import Request
from starlette.responses import Response
from torch import Tensor

from atonce.result import computed, json_names
from atonce.serve.errors import SHOWN, HTTPError, unprocessable
from atonce.shapes import Bool, Float


class JsonRoute(APIRoute):
    """A route whose body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's documentation shows for routes with a request class of their own."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


class _JsonRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


def read_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259), without what is ambiguous or what only Python takes for JSON.

    Raises JSONDecodeError, UnicodeDecodeError, or an HTTPError for a body that is nested too deeply, has a
    field twice, or a number that is not finite.
    """
    # Once, here: no route meets NaN, an infinite number, or a field whose value depends on the reader.
    try:
        return _DECODER.decode(body.decode("utf-8-sig"))
    except RecursionError:
        # The decoder calls itself for each level: ten thousand brackets are more than Python's stack has.
        raise unprocessable(
            "the body is nested too deeply",
            why="no request has more than three levels",
            fix="see /openapi.json",
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise unprocessable(
        f"{name} is not a number", why="JSON has only finite numbers", fix="give a finite number"
    )


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _too_large_a_number(digits)
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise _too_large_a_number(digits)
    return number


def _too_large_a_number(digits: str) -> HTTPError:
    return unprocessable(
        f"{digits[:20]}{'…' * (len(digits) > 20)} is too large a number",
        why=f"numbers have at most {_DIGITS} digits and are less than 1.8e308",
        fix="give a smaller one",
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _FIELDS:
        raise unprocessable(
            f"an object has {len(pairs):,} fields",
            why=f"no request has more than {_FIELDS:,}",
            fix="send fewer",
        )
    found: dict[str, Any] = {}
    for key, value in pairs:
        # Python takes the last; a proxy in front that takes the first would have checked another request.
        if key in found:
            raise unprocessable(
                f"{key[:SHOWN]!r} is given twice", why="only one of them could be meant", fix="give it once"
            )
        found[key] = value
    return found


_FIELDS = 1_000
"""Fields of an object, each of which pydantic may report: as many as layers whose heads may be dropped."""
_DIGITS = 400
"""Digits of a whole number: to read more takes a time that grows with their square."""
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_integer, parse_float=_float, object_pairs_hook=_object
)


class Message(BaseModel):
    """Base of requests and answers: frozen; rejects unknown fields."""

    # A misspelt option would leave its default in place without a word.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _or_null(value: float) -> float | None:
    return value if isfinite(value) else None


Finite = Annotated[float, PlainSerializer(_or_null, return_type=float | None)]
"""A number of an answer: JSON has no infinity, so minus infinity, the logarithm of 0, is null."""


def json_text(data: Any) -> str:
    """As JSON. Numbers that are not finite are null, as in every answer."""
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:  # rarely, so that most answers are not searched for such numbers
        return json.dumps(_with_nulls(data), ensure_ascii=False)


def _with_nulls(data: Any) -> Any:
    match data:
        case float():
            return _or_null(data)
        case dict():
            return {key: _with_nulls(value) for key, value in data.items()}
        case list() | tuple():
            return [_with_nulls(value) for value in data]
    return data


def _rounded(weights: Float[np.ndarray, "*shape"]) -> list[Any]:
    """As lists, to four digits: more are not visible, and take as many bytes again. None: not finite."""
    # In float64: rounded in float32, 0.1234 would be written as 0.12340000271797.
    found: np.ndarray = np.round(weights.astype(np.float64), 4)
    if not np.isfinite(found).all():
        missing, found = ~np.isfinite(found), found.astype(object)
        found[missing] = None
    return list(found.tolist())


_NUMBERS = {
    "type": "array",
    "items": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
}
# Arrays until they are sent: a number of a list takes eight times as much.
Matrix = Annotated[Any, PlainSerializer(_rounded), WithJsonSchema(_NUMBERS)]
Matrices = Annotated[Any, PlainSerializer(_rounded), WithJsonSchema({"type": "array", "items": _NUMBERS})]


def _zeros_and_ones(truth: Bool[Tensor, "rows columns"]) -> list[Any]:
    return list(truth.int().tolist())


_BITS = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
TruthTable = Annotated[Any, PlainSerializer(_zeros_and_ones), WithJsonSchema(_BITS)]
"""A matrix of truth values, as 0 and 1."""


class SentAs:
    """In a message, sends a result (a dataclass) by its fields, described by their docstrings.

        SideMessage = Annotated[Side, SentAs("SideMessage")]

    `name`: its name in the OpenAPI description. `fields`: what is sent; without them all of `to_dict()`.
    """

    # FastAPI takes dataclasses, but not our arrays, computed properties and docstrings of fields.

    def __init__(self, name: str, *fields: str) -> None:
        self._name = name
        self._fields = fields

    def __get_pydantic_core_schema__(self, result: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """pydantic's hook for own types: the result is kept, and becomes a message when it is written."""
        # Kept with its arrays: turned into a message at once, its numbers would be lists until they are sent.
        message = message_of(result, self._name, self._fields)
        described = handler.generate_schema(message)
        written = core_schema.plain_serializer_function_ser_schema(
            functools.partial(message.model_validate, from_attributes=True), return_schema=described
        )
        # Around the message's own, which validates nothing: so that it is described as a message is.
        return core_schema.no_info_wrap_validator_function(
            lambda value, _: value, described, serialization=written
        )


@functools.cache  # or each place that a result is sent from would have a message of its own, of the same name
def message_of(result: type, name: str, sent: tuple[str, ...]) -> type[Message]:
    """The message that a result becomes, with the fields `sent`; with all, where there are none."""
    kinds, docs = get_type_hints(result), attribute_docs(result)
    for one in json_names(result):
        if isinstance(found := getattr(result, one, None), computed):
            kinds[one], docs[one] = get_type_hints(found.fget)["return"], found.__doc__ or ""
    fields: dict[str, Any] = {
        one: (_sent(kinds[one]), Field(description=docs.get(one))) for one in sent or json_names(result)
    }
    return create_model(name, __base__=Message, __doc__=result.__doc__, **fields)


def _sent(kind: Any) -> Any:
    """The type of a field as it is sent."""
    if kind is float:
        return Finite
    array = getattr(kind, "array_type", kind)  # where jaxtyping is installed, it wraps the array's type
    if array is np.ndarray:
        return Matrix
    if array is Tensor:  # results that are sent keep numbers in arrays, and in tensors truth values alone
        return TruthTable
    arguments = tuple(map(_sent, get_args(kind)))
    if not arguments:
        return kind
    origin = get_origin(kind)
    return functools.reduce(operator.or_, arguments) if origin is UnionType else origin[arguments]


def attribute_docs(kind: type) -> dict[str, str]:
    """The docstrings below the fields of a class."""
    # From the source, as pydantic does for its own models: Python itself keeps none of them.
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        and isinstance(text := below.value.value, str)
    }  # fmt: skip
