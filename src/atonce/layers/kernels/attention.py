"""Attention of one row: scaled dot products of several heads (Vaswani 2017, equation 1)."""

from typing import NamedTuple

import numpy as np

from atonce.layers.kernels.compiled import compiled
from atonce.layers.kernels.functions import f32, softmax
from atonce.layers.kernels.seen import room_for
from atonce.layers.kernels.sums import add_rows
from atonce.shapes import Float, Int


class Scores(NamedTuple):
    """Memory for the scores of one row."""

    all: Float[np.ndarray, " room"]
    """Of everything that there is room for."""
    own: Float[np.ndarray, " longest"]
    """Of what the row may see."""


@compiled
def scores_for(longest: int) -> Scores:
    """Memory to look at so many positions."""
    return Scores(np.empty(room_for(longest), np.float32), np.empty(longest, np.float32))


@compiled
def mix(
    query: Float[np.ndarray, "heads head_dim"],
    keys: Float[np.ndarray, "key_value_heads head_dim room"],
    values: Float[np.ndarray, "key_value_heads room head_dim"],
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
    group, own, weights = heads // len(keys), scores.own[: len(slots)], scores.all[:used]
    by = f32(1) / np.sqrt(f32(head_dim))
    for head in range(heads):
        shared = head // group
        add_rows(query[head], keys[shared], scores.all[: room_for(used)])
        for place in range(len(slots)):
            own[place] = weights[slots[place]] * by
        softmax(own)
        for slot in range(used):
            weights[slot] = f32(0)
        for place in range(len(slots)):
            weights[slots[place]] = own[place]
        add_rows(weights, values[shared], mixed[head])


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
