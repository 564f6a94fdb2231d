"""JSON of results: by their fields, described where they are defined."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import TypeAdapter

from atonce.result import Result
from atonce.serve.json_format import Message, SentAs, attribute_docs


@dataclass(frozen=True)
class Inner(Result):
    """Inside of another."""

    share: float
    """From 0 to 1."""


@dataclass(frozen=True, eq=False)
class Outer(Result):
    """What was found."""

    names: tuple[str, ...]
    """Of two
    lines."""
    numbers: dict[str, float]
    best: int | None
    weights: np.ndarray
    secret: object = None


class Answer(Message):
    outer: Annotated[Outer, SentAs("OuterMessage", "names", "numbers", "best", "weights")]
    inner: list[Annotated[Inner, SentAs("InnerMessage")]] | None = None


def test_a_result_is_sent_by_its_fields_with_finite_numbers_alone() -> None:
    outer = Outer(("a", "b"), {"c": float("-inf"), "d": 0.5}, None, np.array([[0.12345, np.nan]]), object())
    answer = Answer(outer=outer, inner=[Inner(float("nan")), Inner(1.0)])
    assert answer.outer is outer  # nothing is copied until it is sent
    said: dict[str, Any] = {
        "outer": {
            "names": ["a", "b"], "numbers": {"c": None, "d": 0.5}, "best": None, "weights": [[0.1234, None]],
        },
        "inner": [{"share": None}, {"share": 1.0}],
    }  # fmt: skip
    assert answer.model_dump(mode="json") == said
    del said["outer"]["best"]  # as what is not there; a number that is not finite stays
    assert answer.model_dump(mode="json", exclude_none=True) == said


def test_a_result_is_described_as_a_message_is() -> None:
    schema = TypeAdapter(Answer).json_schema(mode="serialization")
    assert schema["properties"]["outer"] == {"$ref": "#/$defs/OuterMessage"}
    outer = schema["$defs"]["OuterMessage"]
    assert (outer["description"], outer["additionalProperties"]) == ("What was found.", False)
    assert outer["required"] == ["names", "numbers", "best", "weights"]
    assert outer["properties"]["names"]["description"] == "Of two\nlines."
    share = schema["$defs"]["InnerMessage"]["properties"]["share"]
    assert share["description"] == "From 0 to 1."
    assert {one["type"] for one in share["anyOf"]} == {"number", "null"}


def test_docstrings_of_attributes() -> None:
    assert attribute_docs(Outer) == {"names": "Of two\nlines."}
