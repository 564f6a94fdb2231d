"""What attention may look at: keys and values of many sentences, and which of them are a row's own."""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.compiled import compiled
from atonce.layers.kernels.instructions import LANES
from atonce.layers.kernels.packed import Form
from atonce.shapes import Bool, Float, Int


class KeyValues(NamedTuple):
    """What can be looked at. Where nothing is written yet there are zeros."""

    keys: Float[np.ndarray, "sentences blocks key_value_heads head_dim room"]
    values: Float[np.ndarray, "sentences blocks key_value_heads room filled"]
    """`filled`: `head_dim`, up to whole vectors."""


class Past(NamedTuple):
    """What is written, and the new position behind it."""

    seen: KeyValues
    slots: Int[np.ndarray, "rows positions"]
    """Where in the room each row's own positions are; the last is the new one."""
    used: int
    """How much of the room is."""


class Source(NamedTuple):
    """What was read. Real positions come first."""

    seen: KeyValues
    counts: Int[np.ndarray, " sentences"]
    """How many positions of each sentence are real."""


class Texts(NamedTuple):
    """Which positions of a batch are real."""

    slots: Int[np.ndarray, "sentences length"]
    """Those of each sentence, in order."""
    counts: Int[np.ndarray, " sentences"]
    """How many of them there are."""


@compiled
def texts_of(mask: Bool[np.ndarray, "sentences length"]) -> Texts:
    """Positions are real where the mask is true."""
    slots, counts = np.zeros(mask.shape, np.int32), np.zeros(len(mask), np.int32)
    for sentence in range(len(mask)):
        for place in range(mask.shape[1]):
            if mask[sentence, place]:
                slots[sentence, counts[sentence]] = place
                counts[sentence] += 1
    return Texts(slots, counts)


@compiled
def room_for(longest: int) -> int:
    """`longest`, up to a multiple of `LANES`."""
    return -(-longest // LANES) * LANES


@compiled
def nothing_seen(form: Form, sentences: int, blocks: int, longest: int) -> KeyValues:
    """Room for so many positions of each sentence."""
    shape, room = (sentences, blocks, form.key_value_heads), room_for(longest)
    keys = np.zeros((*shape, form.head_dim, room), np.float32)
    return KeyValues(keys, np.zeros((*shape, room, room_for(form.head_dim)), np.float32))


@compiled
def keep(
    new_keys: Float[np.ndarray, "key_value_heads head_dim"],
    new_values: Float[np.ndarray, "key_value_heads head_dim"],
    keys: Float[np.ndarray, "key_value_heads head_dim room"],
    values: Float[np.ndarray, "key_value_heads room filled"],
    slot: int,
) -> None:
    """Write a position's key and value into a slot."""
    for head in range(len(new_keys)):
        for i in range(new_keys.shape[1]):
            keys[head, i, slot] = new_keys[head, i]
            values[head, slot, i] = new_values[head, i]


@compiled
def with_room(form: Form, seen: KeyValues, needed: int) -> KeyValues:
    """The same with room for so many, or for twice as many: to move all at every step would take long."""
    sentences, blocks, _, room, _ = seen.values.shape
    if needed <= room:
        return seen
    more = nothing_seen(form, sentences, blocks, 2 * needed)
    more.keys[:, :, :, :, :room] = seen.keys
    more.values[:, :, :, :room] = seen.values
    return more
