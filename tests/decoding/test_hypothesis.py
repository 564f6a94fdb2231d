from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from atonce.decoding.hypothesis import length_penalty, reorder


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
    chosen = reorder(state, torch.tensor([2, 2, 0, 1]))
    assert isinstance(chosen, State)
    assert isinstance(chosen.layers[0], Inner)
    assert chosen.layers[0].key.tolist() == [20, 20, 0, 10]
    assert chosen.layers[0].value.tolist() == [[200], [200], [0], [100]]
    assert chosen.mask.tolist() == [True, True, False, True]


def test_a_state_of_nothing_stays_nothing() -> None:
    assert reorder((), torch.tensor([0])) == ()
