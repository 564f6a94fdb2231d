"""JSON of results: by their fields, described where they are defined."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import TypeAdapter

from atonce.result import HIDDEN, Result, computed
from atonce.serve.json_format import Message, SentAs, attribute_docs


@dataclass(frozen=True)
class Inner(Result):
    """Inside of another."""

    share: float
    """From 0 to 1."""

    @computed
    def rest(self) -> float:
        """What is missing to 1."""
        return 1 - self.share


@dataclass(frozen=True, eq=False)
class Outer(Result):
    """What was found."""

    names: tuple[str, ...]
    """Of two
    lines."""
    numbers: dict[str, float]
    best: int | None
    weights: np.ndarray
    secret: object = field(default=None, metadata=HIDDEN)


class Answer(Message):
    outer: Annotated[Outer, SentAs("OuterMessage")]
    inner: list[Annotated[Inner, SentAs("InnerMessage")]] | None = None


def test_a_result_is_sent_by_its_fields_with_finite_numbers_alone() -> None:
    outer = Outer(("a", "b"), {"c": float("-inf"), "d": 0.5}, None, np.array([[0.12345, np.nan]]), object())
    answer = Answer(outer=outer, inner=[Inner(float("nan")), Inner(1.0)])
    assert answer.outer is outer  # nothing is copied until it is sent
    said: dict[str, Any] = {
        "outer": {
            "names": ["a", "b"], "numbers": {"c": None, "d": 0.5}, "best": None, "weights": [[0.1234, None]],
        },
        "inner": [{"share": None, "rest": None}, {"share": 1.0, "rest": 0.0}],
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
    inner = schema["$defs"]["InnerMessage"]["properties"]
    assert [one["description"] for one in inner.values()] == ["From 0 to 1.", "What is missing to 1."]
    for one in inner.values():
        assert {kind["type"] for kind in one["anyOf"]} == {"number", "null"}


class Short(Message):
    outer: Annotated[Outer, SentAs("ShortMessage", "names", "best")]


def test_some_of_its_fields_are_sent() -> None:
    outer = Outer((), {}, 1, np.zeros((1, 1)))
    assert Short(outer=outer).model_dump(mode="json") == {"outer": {"names": [], "best": 1}}


def test_docstrings_of_attributes() -> None:
    assert attribute_docs(Outer) == {"names": "Of two\nlines."}
