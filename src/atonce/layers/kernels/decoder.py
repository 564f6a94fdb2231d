"""A decoder's blocks, compiled: one new position of each row (`DecoderBlock.step`)."""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.attention import mix, turn
from atonce.layers.kernels.jit import compiled
from atonce.layers.kernels.packed import START, Block, Blocks, Form, Place, Stack, linear_at, norm_at, one_of
from atonce.layers.kernels.parts import AT_ONCE, Room, enter, finish, leave, room, think
from atonce.layers.kernels.products import desk, multiply
from atonce.layers.kernels.seen import KeyValues, Past, Source, Texts, keep
from atonce.shapes import Float, Int


class At(NamedTuple):
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
    """Vectors of pieces at one position, which adds `added`."""
    states = np.empty((len(tokens), table.shape[1]), np.float32)
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
    memory = room(stack.form, min(last - first, AT_ONCE), max(past.used, source.counts.max()))
    of_rows = np.repeat(sentences, len(states) // len(sentences))
    for row in range(first, last, AT_ONCE):
        some = states[row : min(row + AT_ONCE, last)]
        for index in range(len(stack.blocks.levels)):
            block, at = one_of(stack.blocks, index), At(of_rows, row, index)
            place = _write(stack.form, block, some, memory, rotation, past, at)
            place = _look(stack.form, block, place, some, memory, source, at)
            think(stack.form, block, place, some, memory)
        finish(stack, some)


@compiled
def _write(
    form: Form, block: Block, states: Float[np.ndarray, "rows dim"], room: Room,
    rotation: Float[np.ndarray, " head_dim"], past: Past, at: At,
) -> Place:  # fmt: skip
    """Self-attention of new positions, whose keys and values join the past."""
    rows, heads, shared = len(states), form.heads, form.key_value_heads
    norm, place = norm_at(block, START, form.dim)
    project, place = linear_at(block, place, form.dim, (heads + 2 * shared) * form.head_dim)
    output, place = linear_at(block, place, form.dim, form.dim)
    projected, mixed = room.projected[:rows], room.mixed[:rows]
    multiply(room.desk, enter(form, states, norm, room), project, projected)
    by_heads = projected.reshape(rows, heads + 2 * shared, form.head_dim)
    mixed_by_heads = mixed.reshape(rows, heads, form.head_dim)
    for row in range(rows):
        new, slots, sentence = by_heads[row], past.slots[at.row + row], at.sentences[at.row + row]
        if len(rotation):
            turn(new[: heads + shared], rotation)
        keys, values = past.seen.keys[sentence, at.block], past.seen.values[sentence, at.block]
        keep(new[heads : heads + shared], new[heads + shared :], keys, values, slots[-1])
        if form.window >= 0:
            slots = slots[max(0, len(slots) - 1 - form.window) :]
        mix(new[:heads], keys, values, slots, past.used, room.scores, mixed_by_heads[row])
    leave(form, states, mixed, output, norm, room)
    return place


@compiled
def _look(
    form: Form, block: Block, place: Place, states: Float[np.ndarray, "rows dim"], room: Room,
    source: Source, at: At,
) -> Place:  # fmt: skip
    """Attention to the source."""
    rows = len(states)
    norm, place = norm_at(block, place, form.dim)
    project, place = linear_at(block, place, form.dim, form.dim)
    output, place = linear_at(block, place, form.dim, form.dim)
    queries, mixed = room.part[:rows], room.mixed[:rows]
    multiply(room.desk, enter(form, states, norm, room), project, queries)
    queries_by_heads = queries.reshape(rows, form.heads, form.head_dim)
    mixed_by_heads = mixed.reshape(rows, form.heads, form.head_dim)
    for row in range(rows):
        sentence = at.sentences[at.row + row]
        keys, values = source.seen.keys[sentence, at.block], source.seen.values[sentence, at.block]
        count = source.counts[sentence]
        mix(queries_by_heads[row], keys, values, room.order[:count], count, room.scores, mixed_by_heads[row])
    leave(form, states, mixed, output, norm, room)
    return place


@compiled
def project_source(
    form: Form, blocks: Blocks, states: Float[np.ndarray, "sentences length dim"], texts: Texts,
    seen: KeyValues, first: int, last: int,
) -> None:  # fmt: skip
    """Write keys and values of the states of sentences `first` to `last` to `seen`, for each block.

    `blocks`: the linear layer of each.
    """
    longest, shared = states.shape[1], form.key_value_heads
    memory, inputs = desk(longest, form.dim), np.empty((longest, form.dim), np.float32)
    projected = np.empty((longest, 2 * shared * form.head_dim), np.float32)
    by_heads = projected.reshape(longest, 2 * shared, form.head_dim)
    for sentence in range(first, last):
        count = texts.counts[sentence]
        for near in range(count):
            inputs[near] = states[sentence, texts.slots[sentence, near]]
        for index in range(len(blocks.levels)):
            project, _ = linear_at(one_of(blocks, index), START, form.dim, projected.shape[1])
            multiply(memory, inputs[:count], project, projected[:count])
            keys, values = seen.keys[sentence, index], seen.values[sentence, index]
            for near in range(count):
                keep(by_heads[near, :shared], by_heads[near, shared:], keys, values, near)
