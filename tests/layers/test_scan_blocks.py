from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from atonce.layers.parallel_recurrence import (
    PARALLEL_RECURRENCES,
    ParallelCell,
    ScanDecoderBlock,
    ScanEncoderBlock,
)
from atonce.layers.recurrence import Directions

BATCH, SOURCE, TARGET, DIM, HEADS, HIDDEN = 3, 5, 4, 8, 2, 12
REAL = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 4 + [False]])
every_cell = pytest.mark.parametrize("cell", get_args(ParallelCell))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
