"""An encoder's blocks, compiled: all positions of some sentences, without their padding."""

import numpy as np

from atonce.layers.kernels.attention import mix, turn
from atonce.layers.kernels.jit import compiled
from atonce.layers.kernels.packed import START, Block, Form, Place, Stack, linear_at, norm_at, one_of
from atonce.layers.kernels.parts import AT_ONCE, Room, enter, finish, leave, room, think
from atonce.layers.kernels.products import multiply
from atonce.layers.kernels.seen import Texts, keep, room_for
from atonce.shapes import Float, Int


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
        while end < last and rows + texts.counts[end] <= AT_ONCE:
            rows += texts.counts[end]
            end += 1
        some = Texts(texts.slots[begin:end], texts.counts[begin:end])
        together = np.empty((rows, stack.form.dim), np.float32)
        _gather(states[begin:end], some, together)
        memory = room(stack.form, rows, some.counts.max())
        for index in range(len(stack.blocks.levels)):
            block = one_of(stack.blocks, index)
            place = _look_around(stack.form, block, together, memory, rotation, some)
            think(stack.form, block, place, together, memory)
        finish(stack, together)
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
def _look_around(
    form: Form, block: Block, states: Float[np.ndarray, "rows dim"], room: Room,
    rotation: Float[np.ndarray, "positions head_dim"], texts: Texts,
) -> Place:  # fmt: skip
    """Self-attention of all positions of some sentences, which lie one after another."""
    rows, heads, shared = len(states), form.heads, form.key_value_heads
    norm, place = norm_at(block, START, form.dim)
    project, place = linear_at(block, place, form.dim, (heads + 2 * shared) * form.head_dim)
    output, place = linear_at(block, place, form.dim, form.dim)
    multiply(room.desk, enter(form, states, norm, room), project, room.projected)
    by_heads = room.projected.reshape(rows, heads + 2 * shared, form.head_dim)
    mixed_by_heads = room.mixed.reshape(rows, heads, form.head_dim)
    longest = room_for(len(room.order))
    keys = np.zeros((shared, form.head_dim, longest), np.float32)
    values = np.zeros((shared, longest, room_for(form.head_dim)), np.float32)
    begin = 0
    for sentence in range(len(texts.counts)):
        count, slots = texts.counts[sentence], texts.slots[sentence]
        for near in range(count):
            new = by_heads[begin + near]
            if rotation.shape[1]:
                turn(new[: heads + shared], rotation[slots[near]])
            keep(new[heads : heads + shared], new[heads + shared :], keys, values, near)
        left, right = 0, count
        for near in range(count):
            if form.window >= 0:
                left, right = _within(form.window, slots[:count], near)
            query, mixed = by_heads[begin + near, :heads], mixed_by_heads[begin + near]
            mix(query, keys, values, room.order[left:right], count, room.scores, mixed)
        begin += count
    leave(form, states, room.mixed, output, norm, room)
    return place


@compiled
def _within(window: int, slots: Int[np.ndarray, " count"], near: int) -> tuple[int, int]:
    """The first that stands within the window of another, and the one behind the last that does."""
    left = np.searchsorted(slots, slots[near] - window)
    return left, np.searchsorted(slots, slots[near] + window + 1)
