"""Transformer blocks: attention, then a feed-forward part, each with a residual connection and a norm."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention
from atonce.layers.dropout import dropout
from atonce.layers.kv_cache import AttentionBias, CachedAttention, append, preallocate
from atonce.layers.linear import ActivatedLinear, Function, fused
from atonce.layers.positions import rotated
from atonce.shapes import Bool, Float

Norm = Literal["pre", "post"]
Activation = Literal["relu", "gelu", "swiglu"]


NormKind = Literal["layer", "rms"]

EPSILON = 1e-5
"""Added to the variance or the mean square, so that a vector of zeros stays finite."""


def build_norm(kind: NormKind, dim: int) -> nn.LayerNorm | nn.RMSNorm:
    """A norm of vectors of `dim` numbers.

    layer: less the mean, divided by the standard deviation, with a learned scale and shift (Ba 2016).
    rms: divided by the root of the mean square, with a learned scale (Zhang and Sennrich 2019, equation 4).
    """
    match kind:
        case "layer":
            return nn.LayerNorm(dim, eps=EPSILON)
        case "rms":
            return nn.RMSNorm(dim, eps=EPSILON)


class FeedForward(nn.Module):
    """A layer of neurons and weighted sums of them, at each position alone (Vaswani 2017, equation 2).

    relu, gelu: the neurons' nonlinearity. swiglu: swish neurons, each multiplied by a weighted sum of the
    inputs that opens or closes it (Shazeer 2020, equation 5), with biases as everywhere. That is a third
    matrix, so the layer is `gated_width(hidden)` wide: about as many weights as with the other two.
    """

    def __init__(self, dim: int, hidden: int, activation: Activation = "relu") -> None:
        super().__init__()
        self.activation: Activation = activation
        width = gated_width(hidden) if activation == "swiglu" else hidden
        self.hidden = ActivatedLinear(dim, width, "swish" if activation == "swiglu" else activation)
        self.factor = nn.Linear(dim, width) if activation == "swiglu" else None
        self.output = nn.Linear(width, dim)

    def forward(self, states: Float[Tensor, "batch len dim"]) -> Float[Tensor, "batch len dim"]:
        """Each position by itself."""
        hidden = self.hidden(states)
        if self.factor is not None:
            hidden = hidden * self.factor(states)
        return self.output(hidden)

    def fused(self) -> Function:
        """The same as a plain function, with its weights as they are now."""
        # A gated layer is no chain of products, and stays the module that it is.
        if self.factor is not None:
            return self
        hidden, output = fused(self.hidden), fused(self.output)
        return lambda states: output(hidden(states))


def gated_width(hidden: int) -> int:
    """About two thirds of `hidden` (Shazeer 2020, section 2): the nearest multiple of 8, at least 8.

    Matrix units work on blocks of eight.
    """
    return 8 * max(1, round(hidden / 12))


class Residual(nn.Module):
    """Where a part of a block branches off and comes back, with its norm before (pre) or after (post).

    Post-norm is Vaswani 2017, section 3.1; pre-norm (Xiong 2020) trains without a long warm-up.
    """

    def __init__(self, dim: int, norm: Norm, dropout: float, *, norm_kind: NormKind = "layer") -> None:
        super().__init__()
        self.norm = build_norm(norm_kind, dim)
        self.pre = norm == "pre"
        self.dropout = dropout

    def branch(self, states: Float[Tensor, "batch len dim"]) -> Float[Tensor, "batch len dim"]:
        """What the part is given."""
        return self.norm(states) if self.pre else states

    def join(
        self, states: Float[Tensor, "batch len dim"], part: Float[Tensor, "batch len dim"]
    ) -> Float[Tensor, "batch len dim"]:
        """The states with what the part made of them added."""
        # Dropout before the sum (Vaswani 2017, section 5.4): what goes straight on stays whole.
        summed = states + dropout(part, self.dropout, self.training)
        return summed if self.pre else self.norm(summed)


def _as_function(norm: nn.Module) -> Function:
    """A norm without the call of a module."""
    if not isinstance(norm, nn.LayerNorm):
        return norm
    shape, weight, bias, epsilon = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda states: torch.layer_norm(states, shape, weight, bias, epsilon)


class FeedForwardBlock(nn.Module):
    """What is left of a pre-norm block without attention: each position thinks alone."""

    def __init__(self, dim: int, feed_forward: int, *, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.feed_forward = FeedForward(dim, feed_forward, activation)
        self.feed_forward_residual = Residual(dim, "pre", dropout)

    def forward(self, states: Float[Tensor, "batch len dim"]) -> Float[Tensor, "batch len dim"]:
        """Each position by itself."""
        part = self.feed_forward(self.feed_forward_residual.branch(states))
        return self.feed_forward_residual.join(states, part)


class EncoderBlock(nn.Module):
    """Every position looks at every other, all at once; then each thinks alone."""

    def __init__(
        self, dim: int, heads: int, feed_forward: int, *, norm: Norm, dropout: float,
        key_value_heads: int | None = None, activation: Activation = "relu", norm_kind: NormKind = "layer",
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, role="encoder-self", key_value_heads=key_value_heads)
        self.attention_residual = Residual(dim, norm, dropout, norm_kind=norm_kind)
        self.feed_forward = FeedForward(dim, feed_forward, activation)
        self.feed_forward_residual = Residual(dim, norm, dropout, norm_kind=norm_kind)

    def forward(
        self,
        states: Float[Tensor, "batch len dim"],
        mask: Bool[Tensor, "#batch #len len"] | None,
        rotation: Float[Tensor, "len head_dim"] | None = None,
    ) -> Float[Tensor, "batch len dim"]:
        """`mask`: True where a position may look; None: everywhere. `rotation`: of rotary positions."""
        query = self.attention_residual.branch(states)
        seen = self.attention.project(query, rotation)
        states = self.attention_residual.join(states, self.attention(query, seen, mask, rotation=rotation))

        part = self.feed_forward(self.feed_forward_residual.branch(states))
        return self.feed_forward_residual.join(states, part)


class BlockCache(NamedTuple):
    """What a decoder block keeps for all steps of a generation."""

    target: KeyValue
    """Of what is written: as much as there are positions, and room for more."""
    source: KeyValue


class StepAt(NamedTuple):
    """Where a step is: the same for all blocks."""

    kept: int
    """Positions that are in the cache of the target."""
    bias: AttentionBias
    """Where in the target each new position may look, at itself too."""
    source_bias: AttentionBias
    rotation: Float[Tensor, "1 head_dim"] | None
    """Of the new position, with rotary positions."""


class FusedLayers(NamedTuple):
    """The layers of a `DecoderBlock` as fewer, plain functions.

    A step by the modules themselves, for one sentence and three blocks, took 310 µs in place of 235.
    """

    pre: bool
    norm: Function
    cross_norm: Function
    last_norm: Function
    attention: CachedAttention
    cross_attention: CachedAttention
    feed_forward: Function


class DecoderBlock(nn.Module):
    """Every position looks at those before it, then at the source; then each thinks alone.

    In `forward` all positions of the target are there at once; in generation, one after the other.
    """

    def __init__(
        self, dim: int, heads: int, feed_forward: int, *, norm: Norm, dropout: float,
        key_value_heads: int | None = None, activation: Activation = "relu", norm_kind: NormKind = "layer",
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, role="decoder-self", key_value_heads=key_value_heads)
        self.attention_residual = Residual(dim, norm, dropout, norm_kind=norm_kind)
        self.cross_attention = MultiHeadAttention(dim, heads, role="cross", key_value_heads=key_value_heads)
        self.cross_attention_residual = Residual(dim, norm, dropout, norm_kind=norm_kind)
        self.feed_forward = FeedForward(dim, feed_forward, activation)
        self.feed_forward_residual = Residual(dim, norm, dropout, norm_kind=norm_kind)

    def forward(
        self,
        states: Float[Tensor, "batch len dim"],
        source: KeyValue,
        source_mask: Bool[Tensor, "batch 1 source_len"] | None,
        *,
        mask: Bool[Tensor, "1 len len"] | None = None,
        rotation: Float[Tensor, "len head_dim"] | None = None,
    ) -> Float[Tensor, "batch len dim"]:
        """`mask`: True where a position may look in the target, never at a later one; without it, at itself
        and all before it. `rotation`: of rotary positions.
        """
        query = self.attention_residual.branch(states)
        seen = self.attention.project(query, rotation)
        # Without a window no mask is made: the kernel knows how to look back alone.
        part = self.attention(query, seen, mask, causal=mask is None, rotation=rotation)
        states = self.attention_residual.join(states, part)

        query = self.cross_attention_residual.branch(states)
        states = self.cross_attention_residual.join(states, self.cross_attention(query, source, source_mask))

        part = self.feed_forward(self.feed_forward_residual.branch(states))
        return self.feed_forward_residual.join(states, part)

    def fused(self) -> "FusedLayers":
        """Its layers for a whole generation, with their weights as they are now."""
        attention, cross, feed_forward = self.attention, self.cross_attention, self.feed_forward
        residuals = (self.attention_residual, self.cross_attention_residual, self.feed_forward_residual)
        norm, cross_norm, last_norm = (_as_function(residual.norm) for residual in residuals)
        return FusedLayers(
            pre=self.attention_residual.pre, norm=norm, cross_norm=cross_norm, last_norm=last_norm,
            attention=CachedAttention(attention, attention.query, attention.key, attention.value),
            cross_attention=CachedAttention(cross, cross.query), feed_forward=feed_forward.fused(),
        )  # fmt: skip

    def start(self, source: Float[Tensor, "sentences source_len dim"]) -> BlockCache:
        """Keys and values of the source's states, and an empty target."""
        seen = self.cross_attention.project(source)
        # Of the right shape and without positions: `append` makes room when the first comes.
        nothing = KeyValue(*(part[:, :, :0] for part in seen))
        # Into whole `ROOM`s, as the target's: the mask of the source has them, too.
        return BlockCache(nothing, preallocate(seen, source.shape[1], source.shape[1]))

    def step(
        self,
        states: Float[Tensor, "sentences width dim"],
        layers: "FusedLayers",
        cache: BlockCache,
        at: StepAt,
    ) -> tuple[Float[Tensor, "sentences width dim"], BlockCache]:
        """As `forward`, for one new position of each beginning of a sentence; the ones before it are kept.

        `layers`: this block's, `fused`. There is no dropout in generation. The cache is written into.
        """
        pre = layers.pre  # what follows is `Residual.branch` and `join`, without their modules
        query, key, value = layers.attention.project(layers.norm(states) if pre else states)
        if at.rotation is not None:
            query, key = rotated(query, at.rotation), rotated(key, at.rotation)
        target = append(cache.target, at.kept, key, value)
        states = states + layers.attention.mixture(query, target, at.bias)
        if not pre:
            states = layers.norm(states)

        (query,) = layers.cross_attention.project(layers.cross_norm(states) if pre else states)
        states = states + layers.cross_attention.mixture(query, cache.source, at.source_bias)
        if not pre:
            states = layers.cross_norm(states)

        states = states + layers.feed_forward(layers.last_norm(states) if pre else states)
        return states if pre else layers.last_norm(states), BlockCache(target, cache.source)
