from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from atonce.layers.masks import padding_mask
from atonce.layers.recurrence import (
    Cell,
    Directions,
    RecurrentLayer,
    RecurrentStack,
    last_real,
    reverse_real,
)

BATCH, TIME, DIM = 3, 6, 8
LENGTHS = torch.tensor([4, 6, 1])
REFERENCE = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELLS = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
every_cell = pytest.mark.parametrize("cell", get_args(Cell))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(cell: Cell, dim: int, seed: int) -> tuple[Tensor, ...]:
    return tuple(drawn(BATCH, dim, seed=seed + part) for part in range(2 if cell == "lstm" else 1))


@every_cell
def test_a_layer_is_torchs_cell_again_and_again(cell: Cell) -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer(cell, 5, DIM).double()
    theirs = CELLS[cell](5, DIM, dtype=torch.float64)
    for weight, ours in zip(theirs.parameters(), layer.parameters(), strict=True):
        weight.data.copy_(ours)
    inputs, state = drawn(BATCH, TIME, 5), states(cell, DIM, 1)
    whole = layer(inputs, state)
    carried = state if cell == "lstm" else state[0]
    for time in range(TIME):
        carried = theirs(inputs[:, time], carried)
        state = layer.step(inputs[:, time], state)
        expected = tuple(carried) if cell == "lstm" else (carried,)
        torch.testing.assert_close(state, expected)
        torch.testing.assert_close(whole[:, time], expected[0])


@every_cell
def test_without_a_state_a_layer_begins_at_zero(cell: Cell) -> None:
    layer, inputs = RecurrentLayer(cell, DIM, DIM).double(), drawn(BATCH, TIME, DIM)
    zeros = tuple(torch.zeros_like(part) for part in states(cell, DIM, 0))
    torch.testing.assert_close(layer(inputs), layer(inputs, zeros))


@every_cell
@pytest.mark.parametrize("layers", [1, 3])
def test_a_stack_is_torchs_layers_and_its_steps(cell: Cell, layers: int) -> None:
    torch.manual_seed(0)
    stack = RecurrentStack(cell, 5, DIM, layers, dropout=0.5).double().eval()
    theirs = REFERENCE[cell](5, DIM, num_layers=layers, batch_first=True, dtype=torch.float64)
    for weight, ours in zip(theirs.parameters(), stack.parameters(), strict=True):
        weight.data.copy_(ours)
    first = [states(cell, DIM, 10 * layer) for layer in range(layers)]
    stacked = tuple(torch.stack(part) for part in zip(*first, strict=True))
    inputs, theirs_inputs = (drawn(BATCH, TIME, 5).requires_grad_() for _ in range(2))

    outputs = stack(inputs, first)
    expected, last = theirs(theirs_inputs, stacked if cell == "lstm" else stacked[0])
    torch.testing.assert_close(outputs, expected)
    (outputs * drawn(*outputs.shape, seed=5)).sum().backward()
    (expected * drawn(*outputs.shape, seed=5)).sum().backward()
    torch.testing.assert_close(inputs.grad, theirs_inputs.grad)
    for weight, ours in zip(theirs.parameters(), stack.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, weight.grad)

    state = first
    for time in range(TIME):
        state = stack.step(inputs[:, time], state)
        torch.testing.assert_close(state[-1][0], outputs[:, time])
    last = last if cell == "lstm" else (last,)
    for part, theirs_part in zip(zip(*state, strict=True), last, strict=True):
        torch.testing.assert_close(torch.stack(part), theirs_part)


@every_cell
@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_directions_are_torchs_on_packed_sequences(cell: Cell, both: bool) -> None:
    """Which never sees the padding at all."""
    torch.manual_seed(0)
    width = DIM // (1 + both)
    layer = Directions(*(RecurrentLayer(cell, DIM, width) for _ in range(1 + both))).double()
    theirs = REFERENCE[cell](DIM, width, batch_first=True, bidirectional=both, dtype=torch.float64)
    for weight, ours in zip(theirs.parameters(), layer.parameters(), strict=True):
        weight.data.copy_(ours)
    mask = padding_mask(LENGTHS, TIME)
    inputs, theirs_inputs = (drawn(BATCH, TIME, DIM).requires_grad_() for _ in range(2))

    outputs, summary = layer(inputs, mask)
    packed = pack_padded_sequence(theirs_inputs, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, last = theirs(packed)
    expected, _ = pad_packed_sequence(expected, batch_first=True)
    hidden = last[0] if cell == "lstm" else last
    torch.testing.assert_close(outputs[mask], expected[mask])
    torch.testing.assert_close(summary, hidden.transpose(0, 1).flatten(1))

    for states, ends in ((outputs, summary), (expected, hidden.transpose(0, 1).flatten(1))):
        ((states * drawn(BATCH, TIME, DIM, seed=5))[mask].sum() + (ends * ends).sum()).backward()
    torch.testing.assert_close(inputs.grad, theirs_inputs.grad)
    for weight, ours in zip(theirs.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, weight.grad)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(0, 3))
def test_reversing_what_is_real_twice_gives_it_back(lengths: list[int], more: int) -> None:
    mask = padding_mask(torch.tensor(lengths), max(lengths) + more)
    sequence = drawn(*mask.shape, 2)
    turned = reverse_real(sequence, mask)
    assert torch.equal(reverse_real(turned, mask), sequence)
    for row, length in enumerate(lengths):
        assert torch.equal(turned[row, :length], sequence[row, :length].flip(0))
        assert torch.equal(turned[row, length:], sequence[row, length:])
    last = last_real(sequence, mask)
    assert torch.equal(last, torch.stack([sequence[row, n - 1] for row, n in enumerate(lengths)]))
