import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from atonce.result import HIDDEN, Result, Table, computed, to_plain


@dataclass(frozen=True)
class Part(Result):
    word: str
    weights: np.ndarray


@dataclass(frozen=True)
class Whole(Result):
    kind = "atonce whole"

    parts: tuple[Part, ...]
    by_length: dict[int, float]
    model: object = field(metadata=HIDDEN)
    best: Part | None = None

    @computed
    def total(self) -> float:
        return float(sum(part.weights.sum() for part in self.parts))

    @property
    def unsaid(self) -> int:
        return 1


@dataclass(frozen=True)
class Longer(Whole):
    @computed
    def count(self) -> int:
        return len(self.parts)

    @computed
    def total(self) -> float:
        return 0.0


def test_a_result_is_its_fields_then_what_is_computed() -> None:
    part = Part("a", np.array([[0.1, np.nan]], dtype=np.float32))
    whole = Whole((part, Part("b", np.zeros(1))), {8: 1.5}, object())
    assert whole.to_dict() == {
        "kind": "atonce whole",
        "version": 1,
        "parts": [{"word": "a", "weights": [[0.1, None]]}, {"word": "b", "weights": [0.0]}],
        "by_length": {"8": 1.5},
        "best": None,
        "total": None,
    }
    assert list(Longer((part,), {}, 1).to_dict())[-2:] == ["total", "count"]


@given(arrays.arrays(np.float32, st.integers(0, 5), elements=st.floats(width=32, allow_nan=False)))
def test_numbers_come_back_from_json(numbers: np.ndarray) -> None:
    again = np.array(json.loads(json.dumps(to_plain(numbers))), dtype=np.float32)
    np.testing.assert_array_equal(again, numbers)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.float32(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (float("nan"), None),
        (np.array([1, 2]), [1, 2]),
        (np.array([True]), [True]),
        (np.array(0.5), 0.5),
        (torch.tensor([[0.25]], requires_grad=True), [[0.25]]),
        (Path("a/b"), "a/b"),
        (frozenset({2, 1}), [1, 2]),
        (range(2), [0, 1]),
        ({"a": (1, Part("x", np.ones(1)))}, {"a": [1, {"word": "x", "weights": [1.0]}]}),
    ],
)
def test_values_as_json_has_them(value: Any, said: Any) -> None:
    assert to_plain(value) == said


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no form"):
        to_plain(object())


def test_tables_escape_what_they_hold() -> None:
    table = Table("<a>", "", ("x", "<y>"), (("<b>", "1"),))
    assert "<a>" not in table.html()
    assert "&lt;y&gt;" in table.html()
    assert "| <b> | 1 |" in table.markdown()


def test_a_table_has_cells_that_stand_out_lines_and_directions() -> None:
    table = Table("t", "", (), (("a|b", "1\n2"), ("ש", "כ")), strong={(0, 1)})
    assert "<thead>" not in table.html()
    assert '<tr><th scope="row" dir="auto">a|b</th><td class=strongest>1<br>2</td></tr>' in table.html()
    assert '<td dir="auto">כ</td>' in table.html()
    assert table.markdown().splitlines()[4:] == [
        "|  |  |",
        "| --- | ---: |",
        r"| a\|b | **1<br>2** |",
        "| ש | כ |",
    ]


def test_results_have_no_tables_unless_they_say_so() -> None:
    nothing: Sequence[Table] = Part("a", np.ones(1)).tables()
    assert list(nothing) == []
