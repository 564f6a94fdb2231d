"""A decoder block in generation: the numbers of `DecoderBlock`, from fewer and larger operations.

A step computes little, and what is around the computing takes most of its time. So the weights are laid out
once for a whole generation, those of queries, keys and values as one matrix, and a step is a straight line of
operations.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention
from atonce.layers.positions import rotated
from atonce.layers.transformer import DecoderBlock, FeedForward, Residual
from atonce.shapes import Bool, Float

Past = Float[Tensor, "sentences key_value_heads_twice kept_len head_dim"]
"""Keys and values of what is written, one after the other along the heads."""

Stepper = Callable[
    [
        Float[Tensor, "sentences width dim"],
        Past,
        KeyValue,
        Bool[Tensor, "sentences 1 1 source_len"] | None,
        Bool[Tensor, "#sentences 1 width seen_len"] | None,
        Float[Tensor, "1 head_dim"] | None,
    ],
    tuple[Float[Tensor, "sentences width dim"], Past],
]
"""From the states of one new position of each beginning of a sentence, the past and the source, with the
masks of source and past (True: may be looked at; None: all) and the rotation of the new position, to the new
states and the past with the new position in it."""

_Function = Callable[[Tensor], Tensor]


def no_past(block: DecoderBlock, sentences: int) -> Past:
    """Before the first piece."""
    attention = block.attention
    head_dim = attention.query.out_features // attention.heads
    return attention.query.weight.new_empty(sentences, 2 * attention.key_value_heads, 0, head_dim)


def stepper(block: DecoderBlock) -> Stepper:
    """The block's step, with its weights as they are now. There is no dropout in generation."""
    before, after = zip(
        *map(
            _around, (block.attention_residual, block.cross_attention_residual, block.feed_forward_residual)
        ),
        strict=True,
    )
    write, look, think = _write(block.attention), _look(block.cross_attention), _think(block.feed_forward)

    def step(
        states: Tensor, past: Tensor, source: KeyValue, source_mask: Tensor | None, mask: Tensor | None,
        rotation: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        part, past = write(before[0](states), past, mask, rotation)
        states = after[0](states + part)
        states = after[1](states + look(before[1](states), source, source_mask))
        return after[2](states + think(before[2](states))), past

    return step


def _around(residual: Residual) -> tuple[_Function, _Function]:
    """What is done before a part of the block, and what after it: one of the two is the norm."""
    norm = _norm(residual.norm)
    return (norm, _nothing) if residual.pre else (_nothing, norm)


def _nothing(states: Tensor) -> Tensor:
    return states


def _norm(norm: nn.Module) -> _Function:
    if isinstance(norm, nn.RMSNorm):
        return norm
    assert isinstance(norm, nn.LayerNorm)
    shape, weight, bias, epsilon = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda states: torch.layer_norm(states, shape, weight, bias, epsilon)


def _write(
    attention: MultiHeadAttention,
) -> Callable[[Tensor, Tensor, Tensor | None, Tensor | None], tuple[Tensor, Tensor]]:
    """Self-attention of new positions, whose keys and values join the past."""
    parts = (attention.query, attention.key, attention.value)
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    heads, shared = attention.heads, attention.key_value_heads

    def write(
        states: Tensor, past: Tensor, mask: Tensor | None, rotation: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        sentences, width, _ = states.shape
        projected = F.linear(states, weight, bias).view(sentences, width, heads + 2 * shared, -1)
        query, seen = torch.split_with_sizes(projected.transpose(1, 2), [heads, 2 * shared], dim=1)
        if rotation is not None:
            key, value = seen.chunk(2, dim=1)
            query, seen = rotated(query, rotation), torch.cat([rotated(key, rotation), value], dim=1)
        past = torch.cat([past, seen], dim=2)
        keys, values = past.chunk(2, dim=1)
        return attention.mixture(query, KeyValue(keys, values), mask), past

    return write


def _look(attention: MultiHeadAttention) -> Callable[[Tensor, KeyValue, Tensor | None], Tensor]:
    """Attention to the source."""
    weight, bias, heads = attention.query.weight, attention.query.bias, attention.heads

    def look(states: Tensor, source: KeyValue, mask: Tensor | None) -> Tensor:
        sentences, width, _ = states.shape
        query = F.linear(states, weight, bias).view(sentences, width, heads, -1).transpose(1, 2)
        return attention.mixture(query, source, mask)

    return look


def _think(feed_forward: FeedForward) -> _Function:
    """Each position alone."""
    if feed_forward.factor is not None or feed_forward.hidden.nonlinearity != "relu":
        return feed_forward
    hidden, output = feed_forward.hidden, feed_forward.output
    weights = hidden.weight, hidden.bias, output.weight, output.bias
    return lambda states: F.linear(F.linear(states, *weights[:2]).relu_(), *weights[2:])
