from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from atonce.layers.masks import padding_mask
from atonce.layers.parallel_recurrence import (
    PARALLEL_RECURRENCES,
    SSRU,
    MinGRU,
    MinLSTM,
    ParallelCell,
    ParallelRecurrence,
    ScanDecoderBlock,
    ScanEncoderBlock,
    positive,
)
from atonce.layers.recurrence import Directions
from atonce.layers.scan import log_scan

BATCH, TIME, INPUT, DIM = 3, 6, 5, 8
SOURCE, TARGET, HEADS, HIDDEN = 5, 4, 2, 12
REAL = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 4 + [False]])
every_cell = pytest.mark.parametrize("cell", get_args(ParallelCell))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(cell: ParallelCell, input_dim: int = INPUT, dim: int = DIM) -> ParallelRecurrence:
    torch.manual_seed(0)
    return PARALLEL_RECURRENCES[cell](input_dim, dim).double()


def as_the_papers_write_it(layer: ParallelRecurrence, inputs: Tensor, state: Tensor) -> Tensor:
    """The outputs, one position after another."""
    outputs = []
    for now in inputs.unbind(1):
        match layer:
            case MinGRU():
                update = torch.sigmoid(layer.update(now))
                state = (1 - update) * state + update * g(layer.hidden(now))
                outputs.append(state)
            case MinLSTM():
                forget, write = torch.sigmoid(layer.forget(now)), torch.sigmoid(layer.input(now))
                state = (forget * state + write * g(layer.hidden(now))) / (forget + write)
                outputs.append(state)
            case SSRU():
                forget = torch.sigmoid(layer.forget(now))
                state = forget * state + (1 - forget) * (now @ layer.value.weight.T)
                outputs.append(F.relu(state))
    return torch.stack(outputs, dim=1)


def g(inputs: Tensor) -> Tensor:
    numbers = [x + 0.5 if x >= 0 else 1 / (1 + (-x).exp()) for x in inputs.flatten()]
    return torch.stack(numbers).view_as(inputs)


@every_cell
@pytest.mark.parametrize("begun", [False, True])
def test_a_layer_is_that_of_its_paper(cell: ParallelCell, begun: bool) -> None:
    layer, inputs = layer_of(cell), drawn(BATCH, TIME, INPUT)
    first = drawn(BATCH, DIM, seed=1).abs() if begun else torch.zeros(BATCH, DIM).double()
    outputs = layer(inputs, first if begun else None)
    torch.testing.assert_close(outputs, as_the_papers_write_it(layer, inputs, first))


@every_cell
@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_step_by_step_equals_forward(cell: ParallelCell, length: int) -> None:
    layer, inputs, state = layer_of(cell), drawn(BATCH, length, INPUT), drawn(BATCH, DIM, seed=1)
    whole = layer(inputs, state)
    for time in range(length):
        state = layer.step(inputs[:, time], state)
        torch.testing.assert_close(layer.output(state), whole[:, time])


def test_mingru_is_its_papers_algorithm_in_log_space() -> None:
    """Feng 2024, appendix B: log(1 - z) = -softplus(k) and log z = -softplus(-k)."""
    layer, inputs = layer_of("mingru"), drawn(BATCH, TIME, INPUT)
    gate, hidden = layer.update(inputs), layer.hidden(inputs)
    log_hidden = torch.where(hidden >= 0, (hidden.relu() + 0.5).log(), -F.softplus(-hidden))
    outputs = log_scan(-F.softplus(gate), -F.softplus(-gate) + log_hidden)
    torch.testing.assert_close(layer(inputs), outputs)


def test_minlstm_is_its_papers_algorithm_in_log_space() -> None:
    """Feng 2024, appendix B: log f' = -softplus(d), log i' = -softplus(-d)."""
    layer, inputs = layer_of("minlstm"), drawn(BATCH, TIME, INPUT)
    hidden = layer.hidden(inputs)
    difference = F.softplus(-layer.forget(inputs)) - F.softplus(-layer.input(inputs))
    log_hidden = torch.where(hidden >= 0, (hidden.relu() + 0.5).log(), -F.softplus(-hidden))
    outputs = log_scan(-F.softplus(difference), -F.softplus(-difference) + log_hidden)
    torch.testing.assert_close(layer(inputs), outputs)


@given(st.floats(-30, 30), st.floats(0, 5))
def test_g_is_positive_and_rises(number: float, more: float) -> None:
    low, high = positive(torch.tensor([number, number + more], dtype=torch.float64)).unbind()
    assert 0 < low <= high


@every_cell
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_long_sequence_stays_finite_in_float32(cell: ParallelCell, scale: float) -> None:
    """Also where gates are shut to the last bit, and both of the minLSTM's at once."""
    layer = layer_of(cell).float()
    inputs = (scale * drawn(2, 2048, INPUT)).float().requires_grad_()
    outputs = layer(inputs)
    outputs.sum().backward()
    for one in (outputs, inputs.grad, *(weight.grad for weight in layer.parameters())):
        assert one.isfinite().all()
    assert float(outputs.detach().abs().max()) <= float(layer.candidate(inputs).detach().abs().max()) * 1.001


@every_cell
def test_under_autocast_gates_and_states_keep_the_precision_of_the_inputs(cell: ParallelCell) -> None:
    layer, inputs = layer_of(cell).float(), drawn(BATCH, TIME, INPUT).float()
    with torch.autocast("cpu", torch.bfloat16):
        kept, outputs = layer.kept(inputs), layer(inputs)
    assert kept.dtype == outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(inputs), rtol=0, atol=0.02)


@every_cell
@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4), more=st.integers(0, 3))
def test_each_direction_reads_a_padded_sentence_as_if_alone(
    cell: ParallelCell, lengths: list[int], more: int
) -> None:
    directions = Directions(layer_of(cell, INPUT, 2), layer_of(cell, INPUT, 3))
    mask = padding_mask(torch.tensor(lengths), max(lengths) + more)
    inputs = drawn(*mask.shape, INPUT)
    outputs, ends = directions(inputs, mask)
    for row, length in enumerate(lengths):
        alone = inputs[row : row + 1, :length]
        rightwards, leftwards = directions.rightwards(alone)[0], directions.leftwards(alone.flip(1))[0]
        torch.testing.assert_close(outputs[row, :length], torch.cat([rightwards, leftwards.flip(0)], -1))
        torch.testing.assert_close(ends[row], torch.cat([rightwards[-1], leftwards[-1]]))


def unlike_new(block: nn.Module) -> nn.Module:
    """Norms begin as ones and zeros, biases of attention as zeros: mistakes in them would not show."""
    torch.manual_seed(0)
    block.double()
    for weight in block.parameters():
        nn.init.normal_(weight, std=0.5)
    return block


@every_cell
def test_an_encoder_block_is_a_recurrence_then_a_feed_forward_part(cell: ParallelCell) -> None:
    one, other = (PARALLEL_RECURRENCES[cell](DIM, DIM // 2) for _ in range(2))
    block = unlike_new(ScanEncoderBlock(Directions(one, other), DIM, HIDDEN, dropout=0.0))
    states = drawn(BATCH, SOURCE, DIM)
    normed = block.recurrence_residual.norm(states)
    carried = states + block.recurrence(normed, REAL)[0]
    torch.testing.assert_close(block(states, REAL)[REAL], block.feed_forward(carried)[REAL])


@every_cell
def test_one_position_after_another_is_all_at_once(cell: ParallelCell) -> None:
    recurrence = PARALLEL_RECURRENCES[cell](DIM, DIM)
    block = unlike_new(ScanDecoderBlock(recurrence, DIM, HEADS, HIDDEN, dropout=0.0))
    states, real = drawn(BATCH, TARGET, DIM), REAL[:, None]
    source = block.cross_attention.project(drawn(BATCH, SOURCE, DIM, seed=1))
    whole = block(states, source, real)
    carried = torch.zeros(BATCH, DIM).double()
    for time in range(TARGET):
        one, carried = block.step(states[:, time : time + 1], carried, source, real)
        torch.testing.assert_close(one[:, 0], whole[:, time])


@every_cell
def test_a_decoder_block_sees_the_source_that_is_real_and_nothing_later(cell: ParallelCell) -> None:
    recurrence = PARALLEL_RECURRENCES[cell](DIM, DIM)
    block = unlike_new(ScanDecoderBlock(recurrence, DIM, HEADS, HIDDEN, dropout=0.0))
    states, memory = drawn(BATCH, TARGET, DIM), drawn(BATCH, SOURCE, DIM, seed=1)

    def outputs(states: Tensor, memory: Tensor) -> Tensor:
        return block(states, block.cross_attention.project(memory), REAL[:, None])

    before = outputs(states, memory)
    later = torch.cat([states[:, :2], -states[:, 2:]], dim=1)
    changed = ~torch.isclose(outputs(later, memory), before).all(-1)
    assert changed.tolist() == [[False, False, True, True]] * BATCH
    torch.testing.assert_close(outputs(states, memory.masked_fill(~REAL[..., None], 7.0)), before)
    assert not torch.isclose(outputs(states, memory + 1), before).all(-1).any()
