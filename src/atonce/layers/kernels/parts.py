"""What decoders' and encoders' blocks share: how parts are entered and left, and the feed-forward part."""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.attention import Scores, scores_for
from atonce.layers.kernels.functions import add, gelu, normed, relu, swiglu
from atonce.layers.kernels.jit import compiled
from atonce.layers.kernels.packed import (
    GELU,
    RELU,
    SWIGLU,
    Block,
    Form,
    Linear,
    Norm,
    Place,
    Stack,
    linear_at,
    norm_at,
)
from atonce.layers.kernels.products import Desk, desk, multiply
from atonce.shapes import Float, Int

AT_ONCE = 64
"""Rows, about: what is computed of them stays in a core's cache while the weights pass."""


class Room(NamedTuple):
    """Memory for what some rows become on their way through a block."""

    desk: Desk
    inputs: Float[np.ndarray, "rows dim"]
    """Of a part of the block, normed."""
    projected: Float[np.ndarray, "rows width"]
    """Queries, keys and values, side by side."""
    mixed: Float[np.ndarray, "rows dim"]
    neurons: Float[np.ndarray, "rows width"]
    """With their factors behind them, if they have any."""
    gated: Float[np.ndarray, "rows hidden"]
    part: Float[np.ndarray, "rows dim"]
    """What a part of the block gives."""
    scores: Scores
    order: Int[np.ndarray, " longest"]
    """0, 1, 2, …: the slots of a row that sees all of them."""


@compiled
def room(form: Form, rows: int, longest: int) -> Room:
    """Memory for so many rows that see so many positions."""
    gated = form.hidden if form.activation == SWIGLU else 0
    return Room(
        desk(rows, max(form.dim, form.hidden)),
        np.empty((rows, form.dim), np.float32),
        np.empty((rows, (form.heads + 2 * form.key_value_heads) * form.head_dim), np.float32),
        np.empty((rows, form.dim), np.float32),
        np.empty((rows, form.hidden + gated), np.float32),
        np.empty((rows, gated), np.float32),
        np.empty((rows, form.dim), np.float32),
        scores_for(longest, form.head_dim),
        np.arange(longest).astype(np.int32),
    )


@compiled
def enter(
    form: Form, states: Float[np.ndarray, "rows dim"], norm: Norm, room: Room
) -> Float[np.ndarray, "rows dim"]:
    """What a part of a block is given of the states."""
    if not form.pre:
        return states
    inputs = room.inputs[: len(states)]
    normed(states, norm, form.rms, inputs)
    return inputs


@compiled
def leave(
    form: Form, states: Float[np.ndarray, "rows dim"], inputs: Float[np.ndarray, "rows inputs"],
    output: Linear, norm: Norm, room: Room,
) -> None:  # fmt: skip
    """Add the output of a part of a block to the states."""
    part = room.part[: len(states)]
    multiply(room.desk, inputs, output, part)
    add(states, part)
    if not form.pre:
        normed(states, norm, form.rms, states)


@compiled
def think(form: Form, block: Block, place: Place, states: Float[np.ndarray, "rows dim"], room: Room) -> None:
    """The feed-forward part, the last of a block: each row alone."""
    norm, place = norm_at(block, place, form.dim)
    hidden, place = linear_at(block, place, form.dim, room.neurons.shape[1])
    output, place = linear_at(block, place, form.hidden, form.dim)
    neurons = room.neurons[: len(states)]
    multiply(room.desk, enter(form, states, norm, room), hidden, neurons)
    if form.activation == RELU:
        relu(neurons)
    elif form.activation == GELU:
        gelu(neurons)
    else:
        gated = room.gated[: len(states)]
        swiglu(neurons, gated)
        neurons = gated
    leave(form, states, neurons, output, norm, room)


@compiled
def finish(stack: Stack, states: Float[np.ndarray, "rows dim"]) -> None:
    """The norm behind the blocks: those that begin with a norm end without one."""
    if stack.form.pre:
        normed(states, stack.final, stack.form.rms, states)
