"""What attention may look at: keys and values of many sentences, and which of them are a row's own."""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.instructions import LANES
from atonce.layers.kernels.jit import compiled
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
def compacted(form: Form, past: Past, sentences: Int[np.ndarray, " sentences"], more: int) -> Past:
    """The past of sentences that are continued, by as many rows each, without what no row sees any more.

    It has room for twice as much, and `more` slots: to move all at every step would take long.
    """
    (all_, blocks, _, room, _), count = past.seen.values.shape, len(sentences)
    by_sentence = past.slots.reshape(count, -1)
    places, used = np.empty((count, room), np.int32), 0
    for sentence in range(count):
        used = max(used, _number(by_sentence[sentence], places[sentence]))

    seen = nothing_seen(form, all_, blocks, 2 * (used + more))
    slots = np.empty_like(by_sentence)
    for sentence in range(count):
        place, which = places[sentence], sentences[sentence]
        for slot in range(room):
            if place[slot] >= 0:
                seen.keys[which, :, :, :, place[slot]] = past.seen.keys[which, :, :, :, slot]
                seen.values[which, :, :, place[slot]] = past.seen.values[which, :, :, slot]
        for i in range(by_sentence.shape[1]):
            slots[sentence, i] = place[by_sentence[sentence, i]]
    return Past(seen, slots.reshape(past.slots.shape), used)


@compiled
def _number(slots: Int[np.ndarray, " own"], places: Int[np.ndarray, " room"]) -> int:
    """Write where each slot goes if those that nobody has are left out: to -1; returns how many are left."""
    places[:] = -1
    for slot in slots:
        places[slot] = 0
    left = 0
    for slot in range(len(places)):
        if places[slot] == 0:
            places[slot] = left
            left += 1
    return left
