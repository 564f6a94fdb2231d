"""Which pairs are for training, validation and test: what a model is tested on, it never saw in training.

Pairs that share a source or a target, case and punctuation aside, belong together; groups of pairs so
connected stay on one side whole. Texts are compared by 64-bit hashes, so that 10 million pairs fit in
memory, and groups are drawn by hash, so that the order of a corpus does not matter.
"""

import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from atonce.data.corpora import Pair
from atonce.shapes import Bool, Int

LARGEST_GROUP_CUT = 10
"""Groups with more pairs than this train: a few of them would be most of a validation set."""


class Side(IntEnum):
    """Where a pair goes."""

    TRAIN = 0
    VALID = 1
    TEST = 2
    LEAKING = 3
    """Nowhere: it shares a side with a validation or test pair that was given."""


class Hashes(NamedTuple):
    """One 64-bit hash per pair and side: equal where the texts are, case and punctuation aside."""

    source: Int[np.ndarray, " pairs"]
    target: Int[np.ndarray, " pairs"]

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "Hashes":
        """The hashes of all `pairs`, 16 bytes each."""
        flat = np.fromiter((text_hash(text) for pair in pairs for text in pair), dtype=np.int64)
        return cls(flat[0::2], flat[1::2])


class _Dropped(dict[int, int | None]):
    """A table for str.translate that drops punctuation, symbols, spaces and control characters.

    It keeps letters, digits and, unlike the \\w of regular expressions, marks: a vowel sign of Devanagari
    or Thai is no letter to Unicode, but tells words apart. Filled as characters occur.
    """

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PSZC" else code
        return self[code]


_DROPPED = _Dropped()


def text_key(text: str) -> str:
    """What texts that count as the same have in common. A text of nothing but punctuation is its own key."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.translate(_DROPPED) or text


def text_hash(text: str) -> int:
    """64 bits of BLAKE2 of the text's key: the same on every machine and in every process."""
    digest = blake2b(text_key(text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def sharing(hashes: Hashes, given: Hashes) -> Bool[np.ndarray, " pairs"]:
    """True for each pair that shares its source or its target with one of those `given`."""
    shared: np.ndarray = np.isin(hashes.source, given.source) | np.isin(hashes.target, given.target)
    return shared


def cut(hashes: Hashes, *, valid_size: int, test_size: int) -> Int[np.ndarray, " pairs"]:
    """The Side of each pair, as int8: whole groups drawn by hash until a split is full.

    A split gets at most its size and at most a tenth of the pairs; a size of 0 cuts nothing.
    """
    most = len(hashes.source) // 10
    group, sizes, order = _groups(hashes)
    order = order[sizes[order] <= LARGEST_GROUP_CUT]
    valid = order[np.cumsum(sizes[order]) <= min(valid_size, most)]
    order = order[len(valid) :]
    test = order[np.cumsum(sizes[order]) <= min(test_size, most)]
    side_of_group = np.full(len(sizes), Side.TRAIN, dtype=np.int8)
    side_of_group[valid], side_of_group[test] = Side.VALID, Side.TEST
    return side_of_group[group]


def _groups(hashes: Hashes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The group of each pair, the size of each group, and the groups in the order of their hashes.

    A group's hash is the sum of its pairs', so neither the order of pairs nor other groups decide it (nor
    does its size, as it would with the least of them).
    """
    _, group = np.unique(connected(hashes), return_inverse=True)
    sizes = np.bincount(group)
    total = np.zeros(len(sizes), dtype=np.uint64)
    np.add.at(total, group, _mixed(hashes))
    return group, sizes, np.argsort(total, kind="stable")


def _mixed(hashes: Hashes) -> np.ndarray:
    """One 64-bit hash per pair: multiplied by odd constants, so that swapped sides differ."""
    source, target = hashes.source.view(np.uint64), hashes.target.view(np.uint64)
    mixed: np.ndarray = source * np.uint64(0x9E3779B97F4A7C15) ^ target * np.uint64(0xC2B2AE3D27D4EB4F)
    return mixed ^ (mixed >> np.uint64(29))


def connected(hashes: Hashes) -> Int[np.ndarray, " pairs"]:
    """For each pair, the lowest index in its group: equal where pairs share sides, also through others.

    Labels start as indices. In each round a pair takes the lowest label among those that share its
    source, then among those that share its target, passes it on to the pair it was labelled with, and
    jumps to its label's label, so that rounds grow with the logarithm of a chain's length (after FastSV,
    Zhang, Azad and Hu 2020).
    """
    sides = [_numbered(side) for side in hashes]
    label = np.arange(len(hashes.source), dtype=np.int32)
    while True:
        lower = label
        for side, count in sides:
            least = np.full(count, len(label), dtype=np.int32)
            np.minimum.at(least, side, lower)
            lower = least[side]
        np.minimum.at(lower, label, lower.copy())
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower


def _numbered(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Equal values get equal numbers from 0. Also how many there are."""
    distinct, number = np.unique(values, return_inverse=True)
    return number.astype(np.int32), len(distinct)
