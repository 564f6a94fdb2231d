"""Keys and values of many sentences, and attention of one row to those that are its own: scaled dot products
of several heads (Vaswani 2017, equation 1).
"""

from typing import NamedTuple

import numpy as np

from atonce.fast.functions import exp, f32
from atonce.fast.instructions import LANES, add_rows
from atonce.fast.jit import compiled
from atonce.fast.weights import LayerSpec
from atonce.shapes import Bool, Float, Int


class KeyValues(NamedTuple):
    """What can be looked at. Where nothing is written yet there are zeros."""

    # By dimension, so that a vector holds scores of `LANES` positions and none is summed across its lanes: of
    # ten positions and 4 heads in 0.53 µs, before in 1.5.
    keys: Float[np.ndarray, "sentences blocks key_value_heads head_dim capacity"]
    values: Float[np.ndarray, "sentences blocks key_value_heads capacity filled"]
    """`filled`: `head_dim`, up to whole vectors."""


class Past(NamedTuple):
    """What is written, and the new position behind it."""

    seen: KeyValues
    slots: Int[np.ndarray, "rows positions"]
    """Where in the capacity each row's own positions are; the last is the new one."""
    used: int
    """How much of the capacity is."""


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
    # 32 bits like all slots: for another type numba would compile everything that takes them once more.
    slots, counts = np.zeros(mask.shape, np.int32), np.zeros(len(mask), np.int32)
    for sentence in range(len(mask)):
        for place in range(mask.shape[1]):
            if mask[sentence, place]:
                slots[sentence, counts[sentence]] = place
                counts[sentence] += 1
    return Texts(slots, counts)


@compiled
def round_up(longest: int) -> int:
    """`longest`, up to a multiple of `LANES`."""
    return -(-longest // LANES) * LANES


@compiled
def empty_cache(spec: LayerSpec, sentences: int, blocks: int, longest: int) -> KeyValues:
    """Room for so many positions of each sentence."""
    shape, capacity = (sentences, blocks, spec.key_value_heads), round_up(longest)
    # Zeros, not `np.empty`: `mix` reads slots of other rows that may not be written yet, and multiplies their
    # values by 0, which would keep a NaN.
    keys = np.zeros((*shape, spec.head_dim, capacity), np.float32)
    return KeyValues(keys, np.zeros((*shape, capacity, round_up(spec.head_dim)), np.float32))


@compiled
def store(
    new_keys: Float[np.ndarray, "key_value_heads head_dim"],
    new_values: Float[np.ndarray, "key_value_heads head_dim"],
    keys: Float[np.ndarray, "key_value_heads head_dim capacity"],
    values: Float[np.ndarray, "key_value_heads capacity filled"],
    slot: int,
) -> None:
    """Write a position's key and value into a slot."""
    # One by one: keys lie by dimension, so those of a position are not next to each other.
    for head in range(len(new_keys)):
        for i in range(new_keys.shape[1]):
            keys[head, i, slot] = new_keys[head, i]
            values[head, slot, i] = new_values[head, i]


@compiled
def compacted(spec: LayerSpec, past: Past, sentences: Int[np.ndarray, " sentences"], more: int) -> Past:
    """The past of sentences that are continued, by as many rows each, without what no row sees any more.

    It has capacity for twice as much, and `more` slots: to move all at every step would take long.
    """
    (all_, blocks, _, capacity, _), count = past.seen.values.shape, len(sentences)
    by_sentence = past.slots.reshape(count, -1)
    # Each sentence is numbered anew by itself, but room is taken by the one that has the most left.
    places, used = np.empty((count, capacity), np.int32), 0
    for sentence in range(count):
        used = max(used, _number(by_sentence[sentence], places[sentence]))

    seen = empty_cache(spec, all_, blocks, 2 * (used + more))
    slots = np.empty_like(by_sentence)
    for sentence in range(count):
        place, which = places[sentence], sentences[sentence]
        for slot in range(capacity):
            if place[slot] >= 0:
                seen.keys[which, :, :, :, place[slot]] = past.seen.keys[which, :, :, :, slot]
                seen.values[which, :, :, place[slot]] = past.seen.values[which, :, :, slot]
        for i in range(by_sentence.shape[1]):
            slots[sentence, i] = place[by_sentence[sentence, i]]
    return Past(seen, slots.reshape(past.slots.shape), used)


@compiled
def _number(slots: Int[np.ndarray, " own"], places: Int[np.ndarray, " capacity"]) -> int:
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


class Scores(NamedTuple):
    """Memory for what a head of one row finds."""

    all: Float[np.ndarray, " capacity"]
    """Scores of everything that there is capacity for."""
    own: Float[np.ndarray, " capacity"]
    """Of what the row may see, if that is not everything."""
    mixed: Float[np.ndarray, " filled"]


@compiled
def scores_for(longest: int, head_dim: int) -> Scores:
    """Memory to look at so many positions."""
    return Scores(
        np.empty(round_up(longest), np.float32),
        np.empty(round_up(longest), np.float32),
        np.empty(round_up(head_dim), np.float32),
    )


@compiled
def mix(
    query: Float[np.ndarray, "heads head_dim"],
    keys: Float[np.ndarray, "key_value_heads head_dim capacity"],
    values: Float[np.ndarray, "key_value_heads capacity filled"],
    slots: Int[np.ndarray, " seen"],
    used: int,
    scores: Scores,
    mixed: Float[np.ndarray, "heads head_dim"],
) -> None:
    """Write to `mixed` the values, mixed by how well their keys match the query.

    `slots`: those that may be seen, at least one, all before `used`. Keys of all are compared, which lie side
    by side: that is faster than to pick some.
    """
    heads, head_dim = query.shape
    group, capacity, filled = heads // len(keys), round_up(used), len(scores.mixed)
    by = f32(1) / np.sqrt(f32(head_dim))
    for head in range(heads):
        # By addresses: arrays cut out of arrays took 0.53 µs in place of 0.29.
        asked = query.ctypes.data + head * query.strides[0]
        key = keys.ctypes.data + head // group * keys.strides[0]
        value = values.ctypes.data + head // group * values.strides[0]
        add_rows(asked, key, keys.strides[1], head_dim, scores.all.ctypes.data, capacity)
        # As many as there are: all of them, in whatever order.
        if len(slots) == used:
            total = _exponentials(scores.all, used, by)
        else:
            for place in range(len(slots)):
                scores.own[place] = scores.all[slots[place]]
            total = _exponentials(scores.own, len(slots), by)
            # What the others hold is weighed, too, by 0: cheaper than to pick rows, and the loop stays whole
            # vectors.
            for slot in range(used):
                scores.all[slot] = f32(0)
            for place in range(len(slots)):
                scores.all[slots[place]] = scores.own[place]
        add_rows(scores.all.ctypes.data, value, values.strides[1], used, scores.mixed.ctypes.data, filled)
        # The softmax's division, left for the end: of `head_dim` numbers, however many positions there are.
        share = f32(1) / total
        for i in range(head_dim):
            mixed[head, i] = scores.mixed[i] * share


@compiled
def _exponentials(scores: Float[np.ndarray, " capacity"], count: int, by: float) -> np.float32:
    """Of scores times `by`, less the greatest, in place; returns their sum. Behind them is no score."""
    capacity = round_up(count)
    for place in range(count, capacity):
        # So what is read beyond the last position, up to a whole vector, can be anything.
        scores[place] = -np.inf
    top, total = scores[0], f32(0)
    for place in range(count):
        top = max(top, scores[place])
    for first in range(0, capacity, LANES):  # whole vectors: the compiler need not look for an end
        for lane in range(LANES):
            scores[first + lane] = exp((scores[first + lane] - top) * by)
    for place in range(count):
        total += scores[place]
    return total


@compiled
def rotate(vectors: Float[np.ndarray, "heads head_dim"], rotation: Float[np.ndarray, " head_dim"]) -> None:
    """Turn each head of queries or keys by the angles of their position: see `layers.positions.rotated`."""
    half = len(rotation) // 2
    for head in range(len(vectors)):
        # A pair is a dimension and the one half of the width further, as in `layers.positions`.
        for i in range(half):
            sine, cosine = rotation[i], rotation[half + i]
            first, second = vectors[head, i], vectors[head, half + i]
            vectors[head, i] = first * cosine - second * sine
            vectors[head, half + i] = first * sine + second * cosine
