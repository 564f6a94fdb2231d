"""Weights of blocks, one after another in the order in which they are used, and how they are found again.

All blocks of a model have the same form, so a block is a row of two tables: of levels in eight bits, and of
numbers (scales, biases, norms). A list of arrays would take longer to hand over than a step to compute.
"""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.jit import compiled
from atonce.layers.kernels.tiles import QUAD, TILE
from atonce.shapes import Float, UInt8

ACTIVATIONS = ("relu", "gelu", "swiglu")
RELU, GELU, SWIGLU = range(len(ACTIVATIONS))


class Form(NamedTuple):
    """What blocks are like. Flags are 0 or 1."""

    dim: int
    heads: int
    key_value_heads: int
    head_dim: int
    hidden: int
    """Neurons of the feed-forward part."""
    activation: int
    """Place in `ACTIVATIONS`."""
    pre: int
    """Whether norms come before each part, not behind it."""
    rms: int
    """Whether norms leave the mean as it is."""
    window: int
    """How far self-attention looks to either side; -1: everywhere."""


class Blocks(NamedTuple):
    """All weights of some blocks, or of linear layers, of one form."""

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
    """See `tiles.in_tiles`."""
    scale: Float[np.ndarray, " outputs"]
    """What a level of each output's weights is worth, by `LEVELS`; filled up to whole tiles."""
    bias: Float[np.ndarray, " outputs"]


class Stack(NamedTuple):
    """Blocks on top of one another, and the norm behind them if they begin with one."""

    form: Form
    blocks: Blocks
    final: Norm


class Place(NamedTuple):
    """Where in each of a block's two tables the next weights begin."""

    level: int
    number: int


START = Place(0, 0)


@compiled
def one_of(blocks: Blocks, index: int) -> Block:
    """One of several blocks."""
    return Block(blocks.levels[index], blocks.numbers[index])


@compiled
def norm_at(block: Block, place: Place, dim: int) -> tuple[Norm, Place]:
    """The norm that is next, and the place behind it."""
    weight, bias, behind = place.number, place.number + dim, place.number + 2 * dim
    return Norm(block.numbers[weight:bias], block.numbers[bias:behind]), Place(place.level, behind)


@compiled
def linear_at(block: Block, place: Place, inputs: int, outputs: int) -> tuple[Linear, Place]:
    """The linear layer that is next, and the place behind it."""
    tiles, size = -(-outputs // TILE), -(-inputs // QUAD) * QUAD * TILE
    levels = block.levels[place.level : place.level + tiles * size].reshape(tiles, size)
    scale, bias, behind = place.number, place.number + tiles * TILE, place.number + 2 * tiles * TILE
    linear = Linear(levels, block.numbers[scale:bias], block.numbers[bias:behind])
    return linear, Place(place.level + tiles * size, behind)
