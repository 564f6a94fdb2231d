"""Weights of blocks, one after another in the order in which they are used, and how they are found again.

All blocks of a model are alike (`LayerSpec`), so a block is a row of two tables: of levels in eight bits, and
of numbers (scales, biases, norms). A list of arrays would take longer to hand over than a step to compute.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from atonce.fast.instructions import QUAD, TILE, in_tiles
from atonce.fast.jit import compiled
from atonce.fast.quantization import QuantizedLinear
from atonce.layers.attention import MultiHeadAttention
from atonce.layers.transformer import DecoderBlock, EncoderBlock, FeedForward, Residual
from atonce.shapes import Float, UInt8

ACTIVATIONS = ("relu", "gelu", "swiglu")
# As numbers, and flags as 0 and 1: of numbers alone, all specs have one type, and code is compiled once.
RELU, GELU, SWIGLU = range(len(ACTIVATIONS))


class LayerSpec(NamedTuple):
    """What blocks are like. Flags are 0 or 1."""

    dim: int
    heads: int
    key_value_heads: int
    head_dim: int
    hidden: int
    """Neurons of the feed-forward part."""
    activation: int
    """Index in `ACTIVATIONS`."""
    pre: int
    """Whether norms come before each part, not behind it."""
    rms: int
    """Whether norms leave the mean as it is."""
    window: int
    """How far self-attention looks to either side; -1: everywhere."""


class Blocks(NamedTuple):
    """All weights of some blocks, or of linear layers, of one spec."""

    levels: UInt8[np.ndarray, "blocks bytes"]
    numbers: Float[np.ndarray, "blocks numbers"]


class Block(NamedTuple):
    """The weights of one."""

    levels: UInt8[np.ndarray, " bytes"]
    numbers: Float[np.ndarray, " numbers"]


class Norm(NamedTuple):
    """What a normed vector is multiplied by, and what is added to it."""

    weight: Float[np.ndarray, " dim"]
    bias: Float[np.ndarray, " dim"]


class Linear(NamedTuple):
    """A linear layer in eight bits."""

    tiles: UInt8[np.ndarray, "tiles bytes"]
    """See `instructions.in_tiles`."""
    scale: Float[np.ndarray, " outputs"]
    """What a level of each output's weights is worth, by `LEVELS`; filled up to whole tiles."""
    bias: Float[np.ndarray, " outputs"]


class Stack(NamedTuple):
    """Blocks on top of one another, and the norm behind them if they begin with one."""

    spec: LayerSpec
    blocks: Blocks
    final: Norm


class Offset(NamedTuple):
    """Where in each of a block's two tables the next weights begin."""

    level: int
    number: int


START = Offset(0, 0)


@compiled
def one_of(blocks: Blocks, index: int) -> Block:
    """One of several blocks."""
    return Block(blocks.levels[index], blocks.numbers[index])


@compiled
def norm_at(block: Block, offset: Offset, dim: int) -> tuple[Norm, Offset]:
    """The norm that is next, and the offset behind it."""
    weight, bias, behind = offset.number, offset.number + dim, offset.number + 2 * dim
    return Norm(block.numbers[weight:bias], block.numbers[bias:behind]), Offset(offset.level, behind)


@compiled
def linear_at(block: Block, offset: Offset, inputs: int, outputs: int) -> tuple[Linear, Offset]:
    """The linear layer that is next, and the offset behind it."""
    # What `Packing.linear` laid there: whole tiles, then scales and biases, filled up to them.
    tiles, size = -(-outputs // TILE), -(-inputs // QUAD) * QUAD * TILE
    levels = block.levels[offset.level : offset.level + tiles * size].reshape(tiles, size)
    scale, bias, behind = offset.number, offset.number + tiles * TILE, offset.number + 2 * tiles * TILE
    linear = Linear(levels, block.numbers[scale:bias], block.numbers[bias:behind])
    return linear, Offset(offset.level + tiles * size, behind)


class Packing:
    """Weights, laid one behind another."""

    def __init__(self) -> None:
        self.levels: list[np.ndarray] = []
        self.numbers: list[np.ndarray] = []

    def norm(self, norm: nn.Module) -> "Packing":
        """A norm."""
        self.numbers += norm_of(norm)
        return self

    def linear(self, *layers: nn.Module) -> "Packing":
        """Linear layers that see the same inputs, as one."""
        rounded = [layer for layer in layers if isinstance(layer, QuantizedLinear)]
        assert len(rounded) == len(layers), "all linear layers are in eight bits"
        # As one product: rows are rounded once for all of them.
        one = QuantizedLinear.joined(rounded)
        filled = -len(one.bias) % TILE
        self.levels.append(in_tiles(one.weight.numpy()))
        self.numbers += [np.pad(numbers.numpy(), (0, filled)) for numbers in (one.scale, one.bias)]
        return self

    def attention(
        self, residual: Residual, attention: MultiHeadAttention, *projected: nn.Module
    ) -> "Packing":
        """The norm, what is projected from the states, and the output."""
        return self.norm(residual.norm).linear(*projected).linear(attention.output)

    def self_attention(self, block: EncoderBlock | DecoderBlock) -> "Packing":
        """Of a block."""
        attention = block.attention
        return self.attention(
            block.attention_residual, attention, attention.query, attention.key, attention.value
        )

    def feed_forward(self, residual: Residual, part: FeedForward) -> "Packing":
        """The norm, the neurons with their factors if they have any, and the output."""
        neurons = [part.hidden] if part.factor is None else [part.hidden, part.factor]
        return self.norm(residual.norm).linear(*neurons).linear(part.output)


def encoder_stack(blocks: Sequence[EncoderBlock], window: int | None, final: nn.Module) -> Stack:
    """An encoder's blocks and the norm behind them."""
    packed_blocks = _stacked(
        Packing().self_attention(block).feed_forward(block.feed_forward_residual, block.feed_forward)
        for block in blocks
    )
    return Stack(spec_of(blocks[0], window), packed_blocks, norm_of(final))


def decoder_stack(blocks: Sequence[DecoderBlock], window: int | None, final: nn.Module) -> Stack:
    """A decoder's blocks and the norm behind them."""
    packed_blocks = _stacked(
        Packing()
        .self_attention(block)
        .attention(block.cross_attention_residual, block.cross_attention, block.cross_attention.query)
        .feed_forward(block.feed_forward_residual, block.feed_forward)
        for block in blocks
    )
    return Stack(spec_of(blocks[0], window), packed_blocks, norm_of(final))


def source_projections(blocks: Iterable[DecoderBlock]) -> Blocks:
    """For each block, the linear layer that makes keys and values of the source."""
    return _stacked(
        Packing().linear(block.cross_attention.key, block.cross_attention.value) for block in blocks
    )


def table_of(linear: QuantizedLinear) -> Blocks:
    """A linear layer alone: the one that makes scores."""
    return _stacked([Packing().linear(linear)])


def norm_of(norm: nn.Module) -> Norm:
    """A norm's weights. One of root mean squares has no bias: zeros. No norm has nothing."""
    if isinstance(norm, nn.Identity):
        return Norm(np.empty(0, np.float32), np.empty(0, np.float32))
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    bias = norm.bias if isinstance(norm, nn.LayerNorm) else torch.zeros_like(norm.weight)
    return Norm(norm.weight.detach().numpy(), bias.detach().numpy())


def spec_of(block: EncoderBlock | DecoderBlock, window: int | None) -> LayerSpec:
    """Of a model's blocks, which are all like this one."""
    attention, neurons = block.attention, block.feed_forward
    dim = len(attention.query.bias)
    return LayerSpec(
        dim=dim,
        heads=attention.heads,
        key_value_heads=attention.key_value_heads,
        head_dim=dim // attention.heads,
        hidden=len(neurons.hidden.bias),
        activation=ACTIVATIONS.index(neurons.activation),
        pre=int(block.attention_residual.pre),
        rms=int(isinstance(block.attention_residual.norm, nn.RMSNorm)),
        window=-1 if window is None else window,
    )


def _stacked(packings: Iterable[Packing]) -> Blocks:
    all_ = list(packings)
    return Blocks(
        np.stack([np.concatenate(packing.levels) for packing in all_]),
        np.stack([np.concatenate(packing.numbers) for packing in all_]),
    )
