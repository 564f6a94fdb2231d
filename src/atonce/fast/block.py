"""Transformer blocks, compiled: an encoder's for all positions of some sentences, without their padding; a
decoder's for one new position of each row.
"""

from typing import NamedTuple

import numpy as np

from atonce.fast.attention import (
    KeyValues,
    Past,
    Scores,
    Source,
    Texts,
    mix,
    rotate,
    round_up,
    scores_for,
    store,
)
from atonce.fast.functions import add, gelu, normed, relu, swiglu
from atonce.fast.jit import compiled
from atonce.fast.linear import Workspace, multiply, workspace
from atonce.fast.weights import (
    GELU,
    RELU,
    START,
    SWIGLU,
    Block,
    Blocks,
    LayerSpec,
    Linear,
    Norm,
    Offset,
    Stack,
    linear_at,
    norm_at,
    one_of,
)
from atonce.shapes import Float, Int

AT_ONCE = 64
"""Rows, about: what is computed of them stays in a core's cache while the weights pass."""


class Scratch(NamedTuple):
    """Memory for what some rows become on their way through a block."""

    workspace: Workspace
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
def scratch(spec: LayerSpec, rows: int, longest: int) -> Scratch:
    """Memory for so many rows that see so many positions."""
    gated = spec.hidden if spec.activation == SWIGLU else 0
    # Allocated once for all blocks: each part of a block writes over what the one before has no more use for.
    return Scratch(
        workspace(rows, max(spec.dim, spec.hidden)),
        np.empty((rows, spec.dim), np.float32),
        np.empty((rows, (spec.heads + 2 * spec.key_value_heads) * spec.head_dim), np.float32),
        np.empty((rows, spec.dim), np.float32),
        np.empty((rows, spec.hidden + gated), np.float32),
        np.empty((rows, gated), np.float32),
        np.empty((rows, spec.dim), np.float32),
        scores_for(longest, spec.head_dim),
        # The type that slots have, or `mix` would be compiled twice.
        np.arange(longest).astype(np.int32),
    )


@compiled
def pre_norm(
    spec: LayerSpec, states: Float[np.ndarray, "rows dim"], norm: Norm, scratch: Scratch
) -> Float[np.ndarray, "rows dim"]:
    """What a part of a block is given of the states."""
    if not spec.pre:
        return states
    inputs = scratch.inputs[: len(states)]
    normed(states, norm, spec.rms, inputs)
    return inputs


@compiled
def add_residual(
    spec: LayerSpec, states: Float[np.ndarray, "rows dim"], inputs: Float[np.ndarray, "rows inputs"],
    output: Linear, norm: Norm, scratch: Scratch,
) -> None:  # fmt: skip
    """Add the output of a part of a block to the states."""
    part = scratch.part[: len(states)]
    multiply(scratch.workspace, inputs, output, part)
    add(states, part)
    # Post-norm is of the sum (Vaswani 2017, section 3.1), pre-norm was taken on the way in.
    if not spec.pre:
        normed(states, norm, spec.rms, states)


@compiled
def feed_forward(
    spec: LayerSpec, block: Block, offset: Offset, states: Float[np.ndarray, "rows dim"], scratch: Scratch
) -> None:
    """The feed-forward part, the last of a block: each row alone."""
    norm, offset = norm_at(block, offset, spec.dim)
    hidden, offset = linear_at(block, offset, spec.dim, scratch.neurons.shape[1])
    output, offset = linear_at(block, offset, spec.hidden, spec.dim)
    neurons = scratch.neurons[: len(states)]
    multiply(scratch.workspace, pre_norm(spec, states, norm, scratch), hidden, neurons)
    if spec.activation == RELU:
        relu(neurons)
    elif spec.activation == GELU:
        gelu(neurons)
    else:
        gated = scratch.gated[: len(states)]
        swiglu(neurons, gated)
        neurons = gated
    add_residual(spec, states, neurons, output, norm, scratch)


@compiled
def final_norm(stack: Stack, states: Float[np.ndarray, "rows dim"]) -> None:
    """The norm behind the blocks: those that begin with a norm end without one."""
    if stack.spec.pre:
        normed(states, stack.final, stack.spec.rms, states)


@compiled
def encode(
    stack: Stack, states: Float[np.ndarray, "sentences length dim"],
    rotation: Float[np.ndarray, "positions head_dim"], texts: Texts, first: int, last: int,
) -> None:  # fmt: skip
    """Take real positions of sentences `first` to `last` through all blocks, in place.

    `rotation`: of `length` positions or more; without columns where positions are in the states.
    """
    begin = first
    while begin < last:
        rows, end = texts.counts[begin], begin + 1
        # Whole sentences, as a row looks at all of its own; one that is longer than `AT_ONCE` goes by itself.
        while end < last and rows + texts.counts[end] <= AT_ONCE:
            rows += texts.counts[end]
            end += 1
        some = Texts(texts.slots[begin:end], texts.counts[begin:end])
        together = np.empty((rows, stack.spec.dim), np.float32)
        _gather(states[begin:end], some, together)
        memory = scratch(stack.spec, rows, some.counts.max())
        for index in range(len(stack.blocks.levels)):
            block = one_of(stack.blocks, index)
            offset = _encoder_self_attention(stack.spec, block, together, memory, rotation, some)
            feed_forward(stack.spec, block, offset, together, memory)
        final_norm(stack, together)
        _scatter(together, some, states[begin:end])
        begin = end


@compiled
def _gather(
    states: Float[np.ndarray, "sentences length dim"], texts: Texts, together: Float[np.ndarray, "rows dim"]
) -> None:
    """Lay real positions one after another."""
    row = 0
    for sentence in range(len(states)):
        for near in range(texts.counts[sentence]):
            together[row] = states[sentence, texts.slots[sentence, near]]
            row += 1


@compiled
def _scatter(
    together: Float[np.ndarray, "rows dim"], texts: Texts, states: Float[np.ndarray, "sentences length dim"]
) -> None:
    """Put them back where they were."""
    row = 0
    for sentence in range(len(states)):
        for near in range(texts.counts[sentence]):
            states[sentence, texts.slots[sentence, near]] = together[row]
            row += 1


@compiled
def _encoder_self_attention(
    spec: LayerSpec, block: Block, states: Float[np.ndarray, "rows dim"], scratch: Scratch,
    rotation: Float[np.ndarray, "positions head_dim"], texts: Texts,
) -> Offset:  # fmt: skip
    """Self-attention of all positions of some sentences, which lie one after another."""
    rows, heads, shared = len(states), spec.heads, spec.key_value_heads
    norm, offset = norm_at(block, START, spec.dim)
    project, offset = linear_at(block, offset, spec.dim, (heads + 2 * shared) * spec.head_dim)
    output, offset = linear_at(block, offset, spec.dim, spec.dim)
    multiply(scratch.workspace, pre_norm(spec, states, norm, scratch), project, scratch.projected)
    by_heads = scratch.projected.reshape(rows, heads + 2 * shared, spec.head_dim)
    mixed_by_heads = scratch.mixed.reshape(rows, heads, spec.head_dim)
    longest = round_up(len(scratch.order))
    # One place for all sentences: what a longer one left behind `count` is scored and never weighed.
    keys = np.zeros((shared, spec.head_dim, longest), np.float32)
    values = np.zeros((shared, longest, round_up(spec.head_dim)), np.float32)
    begin = 0
    for sentence in range(len(texts.counts)):
        count, slots = texts.counts[sentence], texts.slots[sentence]
        for near in range(count):
            new = by_heads[begin + near]
            if rotation.shape[1]:
                rotate(new[: heads + shared], rotation[slots[near]])
            store(new[heads : heads + shared], new[heads + shared :], keys, values, near)
        # `order[left:right]`: without a window everything; slots here are places among the real positions.
        left, right = 0, count
        for near in range(count):
            if spec.window >= 0:
                # The window counts places of the padded batch, as `layers.masks.nearby` does.
                left, right = _within(spec.window, slots[:count], near)
            query, mixed = by_heads[begin + near, :heads], mixed_by_heads[begin + near]
            mix(query, keys, values, scratch.order[left:right], count, scratch.scores, mixed)
        begin += count
    add_residual(spec, states, scratch.mixed, output, norm, scratch)
    return offset


@compiled
def _within(window: int, slots: Int[np.ndarray, " count"], near: int) -> tuple[int, int]:
    """The first that stands within the window of another, and the one behind the last that does."""
    left = np.searchsorted(slots, slots[near] - window)
    return left, np.searchsorted(slots, slots[near] + window + 1)


class RowSlice(NamedTuple):
    """Where some rows are."""

    sentences: Int[np.ndarray, " rows"]
    """Which sentence each row continues, of all rows."""
    row: int
    """The first of some of them."""
    block: int


@compiled
def embed(
    tokens: Int[np.ndarray, " rows"], table: Float[np.ndarray, "vocab dim"], scale: float,
    added: Float[np.ndarray, " dim"],
) -> Float[np.ndarray, "rows dim"]:  # fmt: skip
    """Vectors of tokens at one position, which adds `added`."""
    states = np.empty((len(tokens), table.shape[1]), np.float32)
    # A Python float has 64 bits: the sums would be rounded otherwise than torch's.
    by = np.float32(scale)
    for row in range(len(tokens)):
        vector = table[tokens[row]]
        for i in range(len(vector)):
            states[row, i] = vector[i] * by + added[i]
    return states


@compiled
def step(
    stack: Stack, states: Float[np.ndarray, "rows dim"], rotation: Float[np.ndarray, " head_dim"],
    sentences: Int[np.ndarray, " sentences"], past: Past, source: Source, first: int, last: int,
) -> None:  # fmt: skip
    """Take rows `first` to `last` of the states of new positions through all blocks, in place.

    `rotation`: of the position; empty where it is in the states. `sentences`: those that are continued, by as
    many rows each. Keys and values of the new position are written into the past.
    """
    memory = scratch(stack.spec, min(last - first, AT_ONCE), max(past.used, source.counts.max()))
    # All blocks for some rows before the next rows: no row waits for another, and theirs stay in the cache.
    of_rows = np.repeat(sentences, len(states) // len(sentences))
    for row in range(first, last, AT_ONCE):
        some = states[row : min(row + AT_ONCE, last)]
        for index in range(len(stack.blocks.levels)):
            block, at = one_of(stack.blocks, index), RowSlice(of_rows, row, index)
            offset = _decoder_self_attention(stack.spec, block, some, memory, rotation, past, at)
            offset = _cross_attention(stack.spec, block, offset, some, memory, source, at)
            feed_forward(stack.spec, block, offset, some, memory)
        final_norm(stack, some)


@compiled
def _decoder_self_attention(
    spec: LayerSpec, block: Block, states: Float[np.ndarray, "rows dim"], scratch: Scratch,
    rotation: Float[np.ndarray, " head_dim"], past: Past, at: RowSlice,
) -> Offset:  # fmt: skip
    """Self-attention of new positions, whose keys and values join the past."""
    rows, heads, shared = len(states), spec.heads, spec.key_value_heads
    norm, offset = norm_at(block, START, spec.dim)
    project, offset = linear_at(block, offset, spec.dim, (heads + 2 * shared) * spec.head_dim)
    output, offset = linear_at(block, offset, spec.dim, spec.dim)
    projected, mixed = scratch.projected[:rows], scratch.mixed[:rows]
    multiply(scratch.workspace, pre_norm(spec, states, norm, scratch), project, projected)
    by_heads = projected.reshape(rows, heads + 2 * shared, spec.head_dim)
    mixed_by_heads = mixed.reshape(rows, heads, spec.head_dim)
    for row in range(rows):
        new, slots, sentence = by_heads[row], past.slots[at.row + row], at.sentences[at.row + row]
        if len(rotation):
            rotate(new[: heads + shared], rotation)
        keys, values = past.seen.keys[sentence, at.block], past.seen.values[sentence, at.block]
        # Before it looks: a position sees itself. Slots of the sentence's other beginnings may be written
        # meanwhile by another thread; whatever is there has weight 0.
        store(new[heads : heads + shared], new[heads + shared :], keys, values, slots[-1])
        if spec.window >= 0:
            # A row's own slots are in the order of its tokens: the last `window` and itself.
            slots = slots[max(0, len(slots) - 1 - spec.window) :]
        mix(new[:heads], keys, values, slots, past.used, scratch.scores, mixed_by_heads[row])
    add_residual(spec, states, mixed, output, norm, scratch)
    return offset


@compiled
def _cross_attention(
    spec: LayerSpec, block: Block, offset: Offset, states: Float[np.ndarray, "rows dim"], scratch: Scratch,
    source: Source, at: RowSlice,
) -> Offset:  # fmt: skip
    """Attention to the source."""
    rows = len(states)
    norm, offset = norm_at(block, offset, spec.dim)
    project, offset = linear_at(block, offset, spec.dim, spec.dim)
    output, offset = linear_at(block, offset, spec.dim, spec.dim)
    # `part` is free until `add_residual`, which has no use for the queries any more.
    queries, mixed = scratch.part[:rows], scratch.mixed[:rows]
    multiply(scratch.workspace, pre_norm(spec, states, norm, scratch), project, queries)
    queries_by_heads = queries.reshape(rows, spec.heads, spec.head_dim)
    mixed_by_heads = mixed.reshape(rows, spec.heads, spec.head_dim)
    for row in range(rows):
        sentence = at.sentences[at.row + row]
        keys, values = source.seen.keys[sentence, at.block], source.seen.values[sentence, at.block]
        count = source.counts[sentence]
        mix(
            queries_by_heads[row],
            keys,
            values,
            scratch.order[:count],
            count,
            scratch.scores,
            mixed_by_heads[row],
        )
    add_residual(spec, states, mixed, output, norm, scratch)
    return offset


@compiled
def project_source(
    spec: LayerSpec, blocks: Blocks, states: Float[np.ndarray, "sentences length dim"], texts: Texts,
    seen: KeyValues, first: int, last: int,
) -> None:  # fmt: skip
    """Write keys and values of the states of sentences `first` to `last` to `seen`, for each block.

    `blocks`: the linear layer of each.
    """
    longest, shared = states.shape[1], spec.key_value_heads
    memory, inputs = workspace(longest, spec.dim), np.empty((longest, spec.dim), np.float32)
    projected = np.empty((longest, 2 * shared * spec.head_dim), np.float32)
    by_heads = projected.reshape(longest, 2 * shared, spec.head_dim)
    for sentence in range(first, last):
        count = texts.counts[sentence]
        for near in range(count):
            # Real positions move to the front: `Source` says so, and cross-attention needs no mask.
            inputs[near] = states[sentence, texts.slots[sentence, near]]
        for index in range(len(blocks.levels)):
            project, _ = linear_at(one_of(blocks, index), START, spec.dim, projected.shape[1])
            multiply(memory, inputs[:count], project, projected[:count])
            keys, values = seen.keys[sentence, index], seen.values[sentence, index]
            for near in range(count):
                store(by_heads[near, :shared], by_heads[near, shared:], keys, values, near)
