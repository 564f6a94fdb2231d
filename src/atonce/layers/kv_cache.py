"""Attention in generation: keys and values are computed once, and kept for all steps that come.

A step computes little, and what is around the computing takes most of its time. So there are few, large
operations here: queries, keys and values come from one product, and are written into memory that is there
already; and linear layers are plain functions, as to call a module takes as long as a small product.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention, is_watched
from atonce.layers.linear import fused
from atonce.shapes import Bool, Float

ROOM = 16
"""Positions. Products with fewer keys than this take longer on a CPU, not less."""
FEW = 16
"""Sentences up to which a fused kernel is the fastest on a CPU; it takes several times as long for many."""


class AttentionBias(NamedTuple):
    """Where queries may look, as what is added to their scores of keys."""

    added: Float[Tensor, "#sentences 1 #width room"]
    """0 where a query may look, -inf elsewhere."""
    keys: int
    """How many there are. Behind them there is room, where nobody may look."""


def attention_bias(may_look: Bool[Tensor, "sentences width keys"], like: Tensor) -> AttentionBias:
    """For queries that may look where the mask is true. `like`: of what type and where it shall be."""
    keys = may_look.shape[-1]
    # Something to add, not a mask: the kernel would make one of it in every block; so it is made once a step.
    added = like.new_full((*may_look.shape[:-1], round_up(keys)), -torch.inf)
    added[..., :keys].masked_fill_(may_look, 0.0)
    return AttentionBias(added[:, None], keys)


def round_up(length: int) -> int:
    """`length`, up to a multiple of `ROOM`."""
    return -(-length // ROOM) * ROOM


def preallocate(cache: KeyValue, kept: int, length: int) -> KeyValue:
    """The first `kept` keys and values in new memory for `length` or more, which is zero behind them."""
    sentences, heads, _, head_dim = cache.key.shape
    # Zeros: what nobody may look at has weight 0, and 0 times a NaN that was left in memory would be NaN.
    moved = KeyValue(*(part.new_zeros(sentences, heads, round_up(length), head_dim) for part in cache))
    for part, before in zip(moved, cache, strict=True):
        part[:, :, :kept] = before[:, :, :kept]
    return moved


def append(
    cache: KeyValue,
    kept: int,
    key: Float[Tensor, "sentences key_value_heads width head_dim"],
    value: Float[Tensor, "sentences key_value_heads width head_dim"],
) -> KeyValue:
    """The cache with keys and values of new positions behind the `kept` ones. It is written into."""
    now = kept + key.shape[2]
    if now > cache.key.shape[2]:
        cache = preallocate(cache, kept, 2 * now)  # twice as much: to move all at every step would take long
    cache.key[:, :, kept:now] = key
    cache.value[:, :, kept:now] = value
    return cache


class CachedAttention:
    """A `MultiHeadAttention` for a whole generation, with its weights as they are now."""

    def __init__(self, attention: MultiHeadAttention, *projected: nn.Module) -> None:
        """`projected`: what sees the states of new positions: query, key and value; or the query alone."""
        self.attention = attention
        self.group = attention.heads // attention.key_value_heads
        self.heads = [attention.heads, *[attention.key_value_heads] * (len(projected) - 1)]
        self.linear = fused(*projected)
        self.output = fused(attention.output)

    def project(
        self, states: Float[Tensor, "sentences width dim"]
    ) -> list[Float[Tensor, "sentences heads width head_dim"]]:
        """What is projected from the states, each by its heads."""
        sentences, width, _ = states.shape
        by_heads = self.linear(states).view(sentences, width, sum(self.heads), -1).transpose(1, 2)
        if len(self.heads) == 1:
            return [by_heads]
        return list(torch.split_with_sizes(by_heads, self.heads, dim=1))

    def mixture(
        self, query: Float[Tensor, "sentences heads width head_dim"], cache: KeyValue, bias: AttentionBias
    ) -> Float[Tensor, "sentences width dim"]:
        """As `MultiHeadAttention.mixture`, of what is kept."""
        added, keys = bias
        if is_watched():
            # Who watches is shown real positions alone.
            seen = KeyValue(cache.key[:, :, :keys], cache.value[:, :, :keys])
            return self.attention.mixture(query, seen, added[..., :keys] == 0)
        # With its room: products with a few keys more are faster, and the bias closes those.
        room = added.shape[-1]
        key, value = cache.key[:, :, :room], cache.value[:, :, :room]
        if self.group > 1:
            key, value = key.repeat_interleave(self.group, dim=1), value.repeat_interleave(self.group, dim=1)
        if len(query) <= FEW or query.device.type != "cpu":
            mixed = F.scaled_dot_product_attention(query, key, value, added)
        else:
            # Two threads, 5 queries of 120 sentences: the fused kernel takes 410 to 790 µs, this 110 to 260.
            scores = (query @ key.mT).mul_(query.shape[-1] ** -0.5).add_(added)
            mixed = scores.softmax(-1) @ value
        return self.output(mixed.transpose(1, 2).flatten(2))
