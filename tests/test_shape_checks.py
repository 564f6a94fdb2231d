"""What is wrong about a shape is found, as jaxtyping would find it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from beartype import beartype
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float, Int, TypeCheckError, jaxtyped
from torch import Tensor

import shape_checks
from atonce.layers.attention import masked_softmax

SHAPES = [
    (kind, of, axes)
    for kind in (Float, Int)
    for of in (Tensor, np.ndarray)
    for axes in ("", "a", "a b", "b a", "a a", "2 a", "a+1 b", "*a b", "... b", "#a b", "_ b")
]
SIZES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
ARRAYS = st.tuples(SIZES, st.sampled_from(["float32", "float64", "int64", "bool"]), st.booleans())


def array(sizes: tuple[int, ...], dtype: str, in_torch: bool) -> object:
    return torch.zeros(sizes, dtype=getattr(torch, dtype)) if in_torch else np.zeros(sizes, dtype)


@given(st.lists(st.tuples(st.sampled_from(SHAPES), ARRAYS), min_size=1, max_size=5))
def test_tensors_fit_as_jaxtyping_has_it(asked: list[tuple[tuple, tuple]]) -> None:
    """In one scope: what fitted before says which sizes the names have."""

    def answers(fits) -> list[object]:
        found: list[object] = []
        with shape_checks._library("context"):
            for (kind, of, axes), given in asked:
                try:
                    found.append(fits(kind[of, axes], array(*given)))
                except Exception as fault:
                    found.append(type(fault))
        return found

    for _ in range(2):  # what is learned the first time holds the second
        assert answers(shape_checks._fits) == answers(shape_checks._library_fits)


def scaled(rows: Float[Tensor, "batch dim"], factors: "Float[Tensor, ' dim']") -> Float[Tensor, "batch dim"]:
    return rows[:, : len(factors)] * factors if rows[0, 0] else rows.T


@dataclass
class Pair:
    one: Float[Tensor, " dim"]
    other: Float[Tensor, " dim"]


@pytest.mark.parametrize("made", [shape_checks.checked(scaled), jaxtyped(typechecker=beartype)(scaled)])
def test_arguments_and_what_is_returned_are_checked_against_each_other(made) -> None:
    rows = torch.ones(2, 3)
    assert made(rows, torch.ones(3)).shape == (2, 3)
    assert made(factors=torch.ones(2), rows=torch.ones(1, 2)).shape == (1, 2), "sizes are of one call"
    for wrong in (torch.ones(2), torch.ones(3, 1), torch.ones(3, dtype=torch.long), [1.0, 1.0, 1.0]):
        with pytest.raises(TypeCheckError):
            made(rows, wrong)
    with pytest.raises(TypeCheckError):
        made(rows * 0, torch.ones(3))
    assert made(rows, torch.ones(3)).shape == (2, 3), "nothing is left of a fault"


def test_functions_within_another_are_checked_as_they_are_now() -> None:
    def made(more: int):
        @jaxtyped(typechecker=beartype)
        def added(rows: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
            return rows + more if more else rows[0]

        return added

    first, second, wrong = made(1), made(2), made(0)
    assert (first(torch.ones(1, 1)).item(), second(torch.ones(1, 1)).item()) == (2, 3)
    for fault in (lambda: second(torch.ones(1)), lambda: wrong(torch.ones(1, 1))):
        with pytest.raises(TypeCheckError):
            fault()


def test_dataclasses_are_checked() -> None:
    made = jaxtyped(typechecker=beartype)(Pair)
    made(torch.ones(2), torch.ones(2))
    with pytest.raises(TypeCheckError):
        made(torch.ones(2), torch.ones(3))


def test_the_package_is_checked() -> None:
    masked_softmax(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(TypeCheckError):
        masked_softmax(torch.ones(2, 3), torch.ones(2, 4, dtype=torch.bool))
