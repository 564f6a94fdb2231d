from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from atonce.decoding.hypothesis import length_penalty, reorder
from atonce.models.interface import Shared


class Inner(NamedTuple):
    key: Tensor
    value: Tensor


class State(NamedTuple):
    layers: tuple[Inner, ...]
    mask: Tensor


def test_the_length_penalty_is_that_of_the_paper() -> None:
    assert length_penalty(1, 0.6) == 1
    assert length_penalty(13, 1.0) == pytest.approx(3)
    assert length_penalty(7, 0.5) == pytest.approx(2**0.5)
    assert length_penalty(100, 0.0) == 1


def test_every_tensor_of_a_state_is_reordered_and_its_form_kept() -> None:
    rows = torch.arange(3)
    state = State((Inner(rows * 10, rows[:, None] * 100), Inner(rows, rows)), rows > 0)
    chosen = reorder(state, torch.tensor([2, 2, 0, 1]), None)
    assert isinstance(chosen, State)
    assert isinstance(chosen.layers[0], Inner)
    assert chosen.layers[0].key.tolist() == [20, 20, 0, 10]
    assert chosen.layers[0].value.tolist() == [[200], [200], [0], [100]]
    assert chosen.mask.tolist() == [True, True, False, True]


def test_a_state_of_nothing_stays_nothing() -> None:
    assert reorder((), torch.tensor([0]), None) == ()


def test_what_is_shared_goes_with_its_sentences_and_the_rest_stays() -> None:
    """Two sentences with two beginnings each; then only the second goes on."""
    shared, rows = torch.tensor([10, 20]), torch.tensor([0, 1, 2, 3])
    state = (Shared((shared, None)), rows, 7)
    moved = reorder(state, torch.tensor([1, 1, 2, 3]), None)
    assert moved[0].content[0] is shared
    assert moved[1].tolist() == [1, 1, 2, 3]
    (kept, beginnings, number) = reorder(state, torch.tensor([3, 2]), torch.tensor([1]))
    left, nothing = kept.content
    assert left.tolist() == [20]
    assert nothing is None
    assert beginnings.tolist() == [3, 2]
    assert number == 7
