from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from atonce.layers.attention import KeyValue
from atonce.layers.kv_cache import FEW, ROOM, attention_bias, preallocate, round_up
from atonce.layers.masks import window_mask
from atonce.layers.positions import sinusoids
from atonce.layers.transformer import DecoderBlock, Norm, StepAt

BATCH, SOURCE, TARGET, DIM, HEADS, HIDDEN = 3, 5, 4, 8, 2, 12
REAL = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 4 + [False]])
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gelu": {"activation": "gelu"},
    "modern": {"activation": "swiglu", "norm_kind": "rms", "key_value_heads": 1},
}
every_block = pytest.mark.parametrize(
    ("norm", "options"), [(norm, options) for norm in get_args(Norm) for options in OPTIONS.values()],
    ids=[f"{norm}-{name}" for norm in get_args(Norm) for name in OPTIONS],
)  # fmt: skip


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def block_of(norm: Norm, options: dict[str, Any]) -> DecoderBlock:
    """With weights unlike new ones: norms of ones and biases of zeros would hide mistakes."""
    torch.manual_seed(0)
    block = DecoderBlock(DIM, HEADS, HIDDEN, norm=norm, dropout=0.0, **options).double()
    for weight in block.parameters():
        nn.init.normal_(weight, std=0.5)
    return block


@every_block
@pytest.mark.parametrize("window", [None, 0, 1, 9])
@pytest.mark.parametrize("turned", [False, True], ids=["as they are", "turned"])
def test_one_position_after_another_is_all_at_once(
    norm: Norm, options: dict[str, Any], window: int | None, turned: bool
) -> None:
    block, states = block_of(norm, options), drawn(BATCH, TARGET, DIM)
    memory = drawn(BATCH, SOURCE, DIM, seed=1)
    rotation = sinusoids(TARGET, DIM // HEADS, dtype=torch.float64) if turned else None
    recent = window_mask(TARGET, TARGET, window, causal=True)
    source = block.cross_attention.project(memory)
    whole = block(states, source, REAL[:, None], mask=recent, rotation=rotation)
    layers, cache, source_bias = block.fused(), block.start(memory), attention_bias(REAL[:, None], states)
    for time in range(TARGET):
        recent = window_mask(1, time + 1, window, causal=True)
        seen = torch.ones(1, 1, time + 1, dtype=torch.bool) if recent is None else recent
        turn = None if rotation is None else rotation[time : time + 1]
        at = StepAt(time, attention_bias(seen, states), source_bias, turn)
        one, cache = block.step(states[:, time : time + 1], layers, cache, at)
        torch.testing.assert_close(one[:, 0], whole[:, time])


@every_block
@pytest.mark.parametrize("sentences", [1, FEW + 1])
def test_beginnings_of_a_sentence_do_not_see_one_another(
    norm: Norm, options: dict[str, Any], sentences: int
) -> None:
    block, states = block_of(norm, options), drawn(sentences, 2, DIM)
    memory = drawn(sentences, SOURCE, DIM, seed=1)
    source_bias = attention_bias(torch.ones(1, 1, SOURCE, dtype=torch.bool), states)
    itself = StepAt(
        0, attention_bias(torch.ones(1, 1, 1, dtype=torch.bool), states), source_bias, rotation=None
    )
    layers = block.fused()
    apart = [
        block.step(states[:, place : place + 1], layers, block.start(memory), itself)[0] for place in range(2)
    ]
    each_itself = itself._replace(bias=attention_bias(torch.eye(2, dtype=torch.bool)[None], states))
    together, _ = block.step(states, layers, block.start(memory), each_itself)
    torch.testing.assert_close(together, torch.cat(apart, dim=1))


def test_what_is_kept_moves_into_larger_room_and_the_rest_is_zero() -> None:
    seen = KeyValue(drawn(2, 3, 5, 4), drawn(2, 3, 5, 4, seed=1))
    moved = preallocate(seen, 4, ROOM + 1)
    for before, after in zip(seen, moved, strict=True):
        assert after.shape == (2, 3, 2 * ROOM, 4)
        assert torch.equal(after[:, :, :4], before[:, :, :4])
        assert (after[:, :, 4:] == 0).all()
    assert [round_up(length) for length in (1, ROOM, ROOM + 1)] == [ROOM, ROOM, 2 * ROOM]
