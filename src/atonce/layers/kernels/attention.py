"""Attention of one row: scaled dot products of several heads (Vaswani 2017, equation 1)."""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.functions import exp, f32
from atonce.layers.kernels.instructions import LANES
from atonce.layers.kernels.jit import compiled
from atonce.layers.kernels.seen import room_for
from atonce.layers.kernels.sums import add_rows
from atonce.shapes import Float, Int


class Scores(NamedTuple):
    """Memory for what a head of one row finds."""

    all: Float[np.ndarray, " room"]
    """Scores of everything that there is room for."""
    own: Float[np.ndarray, " room"]
    """Of what the row may see, if that is not everything."""
    mixed: Float[np.ndarray, " filled"]


@compiled
def scores_for(longest: int, head_dim: int) -> Scores:
    """Memory to look at so many positions."""
    return Scores(
        np.empty(room_for(longest), np.float32),
        np.empty(room_for(longest), np.float32),
        np.empty(room_for(head_dim), np.float32),
    )


@compiled
def mix(
    query: Float[np.ndarray, "heads head_dim"],
    keys: Float[np.ndarray, "key_value_heads head_dim room"],
    values: Float[np.ndarray, "key_value_heads room filled"],
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
    group, room, filled = heads // len(keys), room_for(used), len(scores.mixed)
    by = f32(1) / np.sqrt(f32(head_dim))
    for head in range(heads):
        asked = query.ctypes.data + head * query.strides[0]
        key = keys.ctypes.data + head // group * keys.strides[0]
        value = values.ctypes.data + head // group * values.strides[0]
        add_rows(asked, key, keys.strides[1], head_dim, scores.all.ctypes.data, room)
        if len(slots) == used:
            total = _exponentials(scores.all, used, by)
        else:
            for place in range(len(slots)):
                scores.own[place] = scores.all[slots[place]]
            total = _exponentials(scores.own, len(slots), by)
            for slot in range(used):
                scores.all[slot] = f32(0)
            for place in range(len(slots)):
                scores.all[slots[place]] = scores.own[place]
        add_rows(scores.all.ctypes.data, value, values.strides[1], used, scores.mixed.ctypes.data, filled)
        share = f32(1) / total
        for i in range(head_dim):
            mixed[head, i] = scores.mixed[i] * share


@compiled
def _exponentials(scores: Float[np.ndarray, " room"], count: int, by: float) -> np.float32:
    """Of scores times `by`, less the greatest, in place; returns their sum. Behind them is no score."""
    room = room_for(count)
    for place in range(count, room):
        scores[place] = -np.inf
    top, total = scores[0], f32(0)
    for place in range(count):
        top = max(top, scores[place])
    for first in range(0, room, LANES):  # whole vectors: the compiler need not look for an end
        for lane in range(LANES):
            scores[first + lane] = exp((scores[first + lane] - top) * by)
    for place in range(count):
        total += scores[place]
    return total


@compiled
def turn(vectors: Float[np.ndarray, "heads head_dim"], rotation: Float[np.ndarray, " head_dim"]) -> None:
    """Turn each head of queries or keys by the angles of their position: see `layers.positions.rotated`."""
    half = len(rotation) // 2
    for head in range(len(vectors)):
        for i in range(half):
            sine, cosine = rotation[i], rotation[half + i]
            first, second = vectors[head, i], vectors[head, half + i]
            vectors[head, i] = first * cosine - second * sine
            vectors[head, half + i] = first * sine + second * cosine
