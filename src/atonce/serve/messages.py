"""What requests and answers look like. Everything here is in the OpenAPI description."""

import json
from math import isfinite
from typing import Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)

from atonce.data.config import Task
from atonce.seeds import JsonSeed
from atonce.serve.faults import FaultMessage

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultMessage, "description": description}
    for status, description in (
        (400, "The request is not understood."),
        (401, "The token is missing or wrong."),
        (404, "There is no such model."),
        (408, "The request did not arrive in time."),
        (413, "The request is too large."),
        (415, "The body is compressed."),
        (422, "The request asks for what cannot be."),
        (429, "Too much is waiting: ask again after as many seconds as Retry-After says."),
        (503, "The process that draws figures died."),
        (504, "The answer was not ready in time."),
    )
}


def _no_text(number: object) -> object:
    """A number, or what pydantic refuses: a text of digits, or true, which it would take for one."""
    if isinstance(number, bool | str):
        raise ValueError("it is no number -> give a number, without quotation marks")
    return number


Number = BeforeValidator(_no_text)
Beam = Annotated[int, Field(ge=1, le=32), Number]
Temperature = Annotated[float, Field(ge=0, le=100), Number]
Flag = Annotated[bool, Strict()]


def _of_characters(text: str) -> str:
    """The text. Half of a surrogate pair is no character: JSON can spell it, nobody can write it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half a character, {text[error.start]!r}, stands alone in it") from None
    return text


Text = Annotated[str, AfterValidator(_of_characters)]
Place = Annotated[int, Field(ge=0, le=1_000_000), Number]
"""A number that counts words, layers or heads."""


def _or_null(value: float) -> float | None:
    return value if isfinite(value) else None


Finite = Annotated[float, PlainSerializer(_or_null, return_type=float | None)]
"""In an answer: JSON has no infinity, so that minus infinity, the logarithm of 0, is null."""


def json_text(data: Any) -> str:
    """As JSON. What is no finite number is null, as in every answer."""
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:
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


def _rounded(weights: np.ndarray) -> list[Any]:
    """As lists, to four digits: more are not seen, and take as many bytes again. None: not finite."""
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


class Message(BaseModel):
    """Frozen, and merciless with unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TextRequest(Message):
    """Texts to be translated, or summarized."""

    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)]
    """Each is translated, or summarized, by itself."""
    model: str | None = None
    """Name of the model, as `/v1/models` has it; the first that can do it without one."""
    beam: Beam | None = None
    """Hypotheses kept at each step; 1 is greedy. What the model's recipe says without it."""
    nbest: Beam = 1
    """Outputs wanted for each text, best first."""
    temperature: Temperature = 0.0
    """Above 0, `nbest` outputs are drawn at random with it, each by itself, so that likely ones may come
    twice. Not with `beam`."""
    seed: JsonSeed | None = None
    """Of what is drawn: equal requests have equal answers then. A whole number from 0 to 2^64 - 1, or a text
    of its digits."""
    alignment: Flag = False
    """Say which source word each output word looked at most."""
    attention: Flag = False
    """Give all attention weights, piece by piece."""
    stream: Flag = False
    """Answer with server-sent events, one for each new piece of a greedy search. One text only."""


class ClassifyRequest(Message):
    """Texts, or images, to be labelled: one of the two, as the model reads."""

    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)] | None = None
    """Texts to be labelled."""
    images: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """Picture files (PNG, JPEG, WebP, GIF; of one that moves the first frame) in base64."""
    model: str | None = None
    """Name of the model, as `/v1/models` has it; the first that can do it without one."""


class AlternativeMessage(Message):
    """One of the best outputs."""

    text: str
    """The output."""
    score: Finite
    """Log-probability in nats, divided by the length penalty: higher is better."""


class SideMessage(Message):
    """A text as the model sees it and as people read it. The end of the sentence is the last of both."""

    text: str
    """The text."""
    pieces: list[str]
    """What the model reads or writes."""
    words: list[str]
    """What people read."""
    word_of_piece: list[int]
    """For each piece, the number of its word, from 0."""


class LayerMessage(Message):
    """The weights of one attention layer."""

    layer: str
    """Its name in the model."""
    role: str
    """Who looks at whom: cross, encoder-self or decoder-self."""
    weights: Matrices
    """(heads, queries, keys), in pieces."""


class AttentionMessage(Message):
    """All attention of one translation."""

    source: SideMessage
    target: SideMessage
    layers: list[LayerMessage]


class OutputMessage(Message):
    """What a text became."""

    text: str
    """The best output."""
    score: Finite
    """Log-probability in nats, divided by the length penalty: higher is better."""
    alternatives: list[AlternativeMessage] | None = None
    """The n best, best first, where more than one was asked for."""
    alignment: str | None = None
    """Pairs "source-output" of words, counted from 0."""
    attention: AttentionMessage | None = None
    """What the model looked at."""


class TranslateResponse(Message):
    """A translation of each text, in order."""

    model: str
    """Who translated."""
    translations: list[OutputMessage]


class SummarizeResponse(Message):
    """A summary of each text, in order."""

    model: str
    """Who summarized."""
    summaries: list[OutputMessage]


class LabelMessage(Message):
    """What a source was taken for."""

    label: str
    """The likeliest."""
    probabilities: dict[str, Finite]
    """Of every label, the likeliest first; they sum to one."""


class ClassifyResponse(Message):
    """A label for each source, in order."""

    model: str
    """Who labelled."""
    labels: list[LabelMessage]


class ModelMessage(Message):
    """A model that is served."""

    name: str
    """What requests call it."""
    task: Task
    """What it was trained for."""
    about: str
    """What its recipe says of itself."""
    source: str | None
    """Tag of the language it reads, where it is known."""
    target: str | None
    """Tag of the language it writes, where it is known."""
    architecture: str
    """Encoder and decoder."""
    weights: int
    """How many numbers were learned."""
    attention: bool
    """Whether there is attention to look at."""
    examples: list[str]
    """Some texts that it was not trained on, to try."""


class ModelsResponse(Message):
    """All models that are served, in the order of the command line."""

    models: list[ModelMessage]


class HealthResponse(Message):
    """That the server is there, and how much waits."""

    status: str
    waiting: int
    """Texts that wait to be searched."""
