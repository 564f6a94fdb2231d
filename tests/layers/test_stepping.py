from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from atonce.layers.positions import sinusoids
from atonce.layers.stepping import no_past, stepper
from atonce.layers.transformer import DecoderBlock, Norm
from atonce.layers.window import window_mask

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
    source = block.cross_attention.project(drawn(BATCH, SOURCE, DIM, seed=1))
    rotation = sinusoids(TARGET, DIM // HEADS, dtype=torch.float64) if turned else None
    recent = window_mask(TARGET, TARGET, window, causal=True)
    whole = block(states, source, REAL[:, None], mask=recent, rotation=rotation)
    step, past = stepper(block), no_past(block, BATCH)
    for time in range(TARGET):
        recent = window_mask(1, time + 1, window, causal=True)
        one, past = step(
            states[:, time : time + 1],
            past,
            source,
            REAL[:, None, None],
            None if recent is None else recent[:, None],
            None if rotation is None else rotation[time : time + 1],
        )
        torch.testing.assert_close(one[:, 0], whole[:, time])


@every_block
def test_beginnings_of_a_sentence_do_not_see_one_another(norm: Norm, options: dict[str, Any]) -> None:
    block, states = block_of(norm, options), drawn(1, 2, DIM)
    source = block.cross_attention.project(drawn(1, SOURCE, DIM, seed=1))
    step, past = stepper(block), no_past(block, 1)
    apart = [step(states[:, place : place + 1], past, source, None, None, None)[0] for place in range(2)]
    each_itself = torch.eye(2, dtype=torch.bool)[None, None]
    together, _ = step(states, past, source, None, each_itself, None)
    torch.testing.assert_close(together, torch.cat(apart, dim=1))
