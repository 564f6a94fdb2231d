"""A decoder block in generation: the numbers of `DecoderBlock`, from fewer and larger operations.

A step computes little, and what is around the computing takes most of its time. So the weights are laid out
once for a whole generation, those of queries, keys and values as one matrix; keys and values are written into
memory that is there already; and a step is a straight line of operations.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention, is_watched
from atonce.layers.eight_bits import EightBitLinear
from atonce.layers.neuron import NeuronLayer, nonlinearity
from atonce.layers.positions import rotated
from atonce.layers.transformer import DecoderBlock, FeedForward, Residual
from atonce.shapes import Bool, Float

Past = KeyValue
"""Keys and values of what is written, and room for more: zeros. The room is a multiple of `ROOM`."""


class Closed(NamedTuple):
    """Where queries may not look."""

    added: Float[Tensor, "#sentences 1 #width room"]
    """To the scores of keys: 0 where a query may look, -inf elsewhere."""
    keys: int
    """How many there are. Behind them there is room, which is closed."""


Stepper = Callable[
    [
        Float[Tensor, "sentences width dim"],
        Past,
        int,
        Closed,
        KeyValue,
        Closed,
        Float[Tensor, "1 head_dim"] | None,
    ],
    tuple[Float[Tensor, "sentences width dim"], Past],
]
"""From the states of one new position of each beginning of a sentence, the past, how much of it is kept and
what of it is closed, the source and what of it is closed, and the rotation of the new position: to the new
states, and the past with the new position in it. The past that is given is written into."""

ROOM = 16
"""Positions. Products with fewer keys than this take longer on a CPU, not less."""
FEW = 16
"""Sentences up to which a fused kernel is the fastest on a CPU; it takes several times as long for many."""

_Function = Callable[[Tensor], Tensor]


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
        states: Tensor, past: Past, kept: int, past_closed: Closed, source: KeyValue, source_closed: Closed,
        rotation: Tensor | None,
    ) -> tuple[Tensor, Past]:  # fmt: skip
        part, past = write(before[0](states), past, kept, past_closed, rotation)
        states = after[0](states + part)
        states = after[1](states + look(before[1](states), source, source_closed))
        return after[2](states + think(before[2](states))), past

    return step


def in_room(seen: KeyValue, kept: int, room: int) -> KeyValue:
    """The first `kept` keys and values in new memory with room for `room`, which is zero behind them."""
    sentences, heads, _, head_dim = seen.key.shape
    moved = KeyValue(*(part.new_zeros(sentences, heads, room_for(room), head_dim) for part in seen))
    for part, before in zip(moved, seen, strict=True):
        part[:, :, :kept] = before[:, :, :kept]
    return moved


def room_for(length: int) -> int:
    """`length`, up to a multiple of `ROOM`."""
    return -(-length // ROOM) * ROOM


def closed(may_look: Bool[Tensor, "sentences width keys"], like: Tensor) -> Closed:
    """Everything but what each query may look at."""
    keys = may_look.shape[-1]
    added = like.new_full((*may_look.shape[:-1], room_for(keys)), -torch.inf)
    added[..., :keys].masked_fill_(may_look, 0.0)
    return Closed(added[:, None], keys)


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
) -> Callable[[Tensor, Past, int, Closed, Tensor | None], tuple[Tensor, Past]]:
    """Self-attention of new positions, whose keys and values join the past."""
    project = _linear(attention.query, attention.key, attention.value)
    heads, shared = attention.heads, attention.key_value_heads
    mix = _mix(attention)

    def write(
        states: Tensor, past: Past, kept: int, past_closed: Closed, rotation: Tensor | None
    ) -> tuple[Tensor, Past]:
        sentences, width, _ = states.shape
        projected = project(states).view(sentences, width, heads + 2 * shared, -1).transpose(1, 2)
        query, key, value = torch.split_with_sizes(projected, [heads, shared, shared], dim=1)
        if rotation is not None:
            query, key = rotated(query, rotation), rotated(key, rotation)
        now = kept + width
        if now > past.key.shape[2]:
            past = in_room(past, kept, 2 * now)  # twice as much: to move all at every step would take long
        past.key[:, :, kept:now] = key
        past.value[:, :, kept:now] = value
        return mix(query, past, past_closed), past

    return write


def _look(attention: MultiHeadAttention) -> Callable[[Tensor, KeyValue, Closed], Tensor]:
    """Attention to the source."""
    project, mix, heads = _linear(attention.query), _mix(attention), attention.heads

    def look(states: Tensor, source: KeyValue, source_closed: Closed) -> Tensor:
        sentences, width, _ = states.shape
        query = project(states).view(sentences, width, heads, -1).transpose(1, 2)
        return mix(query, source, source_closed)

    return look


def _mix(attention: MultiHeadAttention) -> Callable[[Tensor, KeyValue, Closed], Tensor]:
    """Values mixed by how well their keys match, and projected."""
    output = _linear(attention.output)
    group = attention.heads // attention.key_value_heads

    def mix(query: Tensor, seen: KeyValue, hidden: Closed) -> Tensor:
        added, keys = hidden
        if is_watched():
            there = KeyValue(seen.key[:, :, :keys], seen.value[:, :, :keys])
            return attention.mixture(query, there, added[..., :keys] == 0)
        room = added.shape[-1]
        key, value = seen.key[:, :, :room], seen.value[:, :, :room]
        if group > 1:
            key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
        if len(query) <= FEW or query.device.type != "cpu":
            mixed = F.scaled_dot_product_attention(query, key, value, added)
        else:
            scores = (query @ key.mT).mul_(query.shape[-1] ** -0.5).add_(added)
            mixed = scores.softmax(-1) @ value
        return output(mixed.transpose(1, 2).flatten(2))

    return mix


def _think(feed_forward: FeedForward) -> _Function:
    """Each position alone."""
    if feed_forward.factor is not None:
        return feed_forward
    hidden, output = _linear(feed_forward.hidden), _linear(feed_forward.output)
    return lambda states: output(hidden(states))


def _linear(*layers: nn.Module) -> _Function:
    """Linear layers that see the same inputs, as one; or one layer of neurons."""
    if all(isinstance(layer, EightBitLinear) for layer in layers):
        rounded = cast(list[EightBitLinear], list(layers))
        return rounded[0].forward if len(rounded) == 1 else EightBitLinear.joined(rounded).forward
    linear = cast(list[nn.Linear], list(layers))
    weight, bias = _joined([one.weight for one in linear]), _joined([one.bias for one in linear])
    if isinstance(linear[0], NeuronLayer):
        activate = F.relu_ if linear[0].nonlinearity == "relu" else nonlinearity(linear[0].nonlinearity)
        return lambda states: activate(F.linear(states, weight, bias))
    return lambda states: F.linear(states, weight, bias)


def _joined(tensors: list[Tensor]) -> Tensor:
    """One after the other. One alone is not copied: all weights are megabytes, laid out for each search."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
