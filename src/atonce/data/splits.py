"""Which pairs are for training, validation and test: what a model is tested on, it never saw in training.

Pairs that share a source or a target, case and punctuation aside, belong together; groups of pairs so
connected stay on one side whole. Texts are compared by 64-bit hashes, so that 10 million pairs fit in
memory, and groups are drawn by hash, so that the order of a corpus does not matter.
"""

import sys
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from enum import IntEnum
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import numpy as np

from atonce.data.pairs import Pair
from atonce.shapes import Bool, Int, UInt

PAIRS_AT_ONCE = 1_000
"""So few stay in the processor's cache: with 10,000 it takes a third longer."""
_LOOKED_UP_AT_ONCE = 1_000_000
LARGEST_GROUP_CUT = 10
"""Groups with more pairs than this train: a few of them would be most of a validation set."""


class Side(IntEnum):
    """Where a pair goes."""

    TRAIN = 0
    VALID = 1
    TEST = 2
    LEAKING = 3
    """Nowhere: it shares a source, or a side, with a validation or test pair that was given."""


class Hashes(NamedTuple):
    """One 64-bit hash per pair and side: equal where the texts are, case and punctuation aside."""

    source: Int[np.ndarray, " pairs"]
    target: Int[np.ndarray, " pairs"]

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> "Hashes":
        """The hashes of all `pairs`, 16 bytes each."""
        sides, stream = (array("q"), array("q")), iter(pairs)
        while chunk := list(islice(stream, PAIRS_AT_ONCE)):
            for side, texts in zip(sides, zip(*chunk, strict=True), strict=True):
                side.frombytes(_digests(text_keys(texts)))
        return cls(*(np.frombuffer(side, np.int64) for side in sides))

    def by_sources(self) -> "Hashes":
        """As if pairs had nothing but their sources: those that share a target have nothing in common."""
        return Hashes(self.source, self.source)


class _Dropped:
    """Punctuation, symbols, spaces and control characters, which do not tell texts apart.

    Letters, digits and, unlike with the \\w of regular expressions, marks do: a vowel sign of Devanagari or
    Thai is no letter to Unicode. Looked up for many texts at once: per character, str.translate takes ten
    times as long.
    """

    def __init__(self) -> None:
        self._unknown, self._kept, self._dropped = 0, 1, 2
        self._fate = np.zeros(sys.maxunicode + 1, np.uint8)  # filled as characters occur
        self._fate[ord("\n")] = self._kept  # stands between the texts

    def from_lines(self, lines: str) -> str:
        """The lines without these characters."""
        codes = np.frombuffer(lines.encode("utf-32-le", "surrogatepass"), "<u4")
        fate = self._fate[codes]
        if not fate.all():
            for code in np.unique(codes[fate == self._unknown]).tolist():
                dropped = unicodedata.category(chr(code))[0] in "PSZC"
                self._fate[code] = self._dropped if dropped else self._kept
            fate = self._fate[codes]
        return codes[fate == self._kept].tobytes().decode("utf-32-le")


_DROPPED = _Dropped()


def text_keys(texts: Sequence[str]) -> list[str]:
    """What those of one or more texts that count as the same have in common.

    A text of nothing but punctuation is its own key.
    """
    # Without line ends of their own: a text with one would be two after the next line.
    folded = "\n".join([unicodedata.normalize("NFKC", text).casefold().replace("\n", "") for text in texts])
    keys = _DROPPED.from_lines(folded).split("\n")
    return [key or text for key, text in zip(keys, texts, strict=True)]


def _digests(keys: Iterable[str]) -> bytes:
    """64 bits of BLAKE2 of each key: the same on every machine and in every process."""
    return b"".join([blake2b(key.encode(), digest_size=8).digest() for key in keys])


def overlaps(hashes: Hashes, given: Hashes) -> Bool[np.ndarray, " pairs"]:
    """True for each pair that shares its source or its target with one of those `given`."""
    return _among(hashes.source, given.source) | _among(hashes.target, given.target)


def overlaps_by_target(hashes: Hashes, given: Hashes) -> Bool[np.ndarray, " pairs"]:
    """True for each pair that shares its target with one of those `given`, and its source with none."""
    return _among(hashes.target, given.target) & ~_among(hashes.source, given.source)


def repeated_targets(hashes: Hashes) -> float:
    """The share of different pairs whose target another source has, too.

    Of very many pairs, those with the targets of lowest hash are looked at: all pairs of a target, or none.
    """
    step = len(hashes.target) // _LOOKED_UP_AT_ONCE + 1
    # By hash, not every nth: then all pairs of a target are in, or none, and shares stay what they are.
    chosen = hashes.target.view(np.uint64) % np.uint64(step) == 0
    some = Hashes(hashes.source[chosen], hashes.target[chosen])
    _, first = np.unique(_mixed(some), return_index=True)
    counts = np.unique(some.target[first], return_counts=True)[1]
    return float(counts[counts > 1].sum() / max(1, counts.sum()))


def _among(values: Int[np.ndarray, " pairs"], given: Int[np.ndarray, " given"]) -> Bool[np.ndarray, " pairs"]:
    """Which of the values are also `given`: as np.isin, which sorts all values to find a few among them."""
    if len(given) == 0:
        return np.zeros(len(values), dtype=bool)
    given = np.sort(given)
    parts = np.array_split(values, len(values) // _LOOKED_UP_AT_ONCE + 1)
    # Without the last one, no place is beyond the end: what is larger than all is compared with the largest.
    return np.concatenate([given[np.searchsorted(given[:-1], part)] == part for part in parts])


def cut(hashes: Hashes, *, valid_size: int, test_size: int) -> Int[np.ndarray, " pairs"]:
    """The Side of each pair, as int8: whole groups drawn by hash until a split is full.

    A split gets at most its size and at most a tenth of the pairs; a size of 0 cuts nothing.
    """
    most = len(hashes.source) // 10
    valid_size, test_size = min(valid_size, most), min(test_size, most)
    if valid_size + test_size == 0:
        return np.full(len(hashes.source), Side.TRAIN, dtype=np.int8)
    group, sizes, order = _groups(hashes, most=valid_size + test_size)
    # A prefix of the groups as drawn: a larger `valid_size` keeps what a smaller one took.
    valid = order[np.cumsum(sizes[order]) <= valid_size]
    order = order[len(valid) :]
    test = order[np.cumsum(sizes[order]) <= test_size]
    side_of_group = np.full(len(sizes), Side.TRAIN, dtype=np.int8)
    side_of_group[valid], side_of_group[test] = Side.VALID, Side.TEST
    return side_of_group[group]


def _groups(
    hashes: Hashes, *, most: int
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " groups"], Int[np.ndarray, " drawn"]]:
    """The group of each pair, the size of each group, and the first of the small groups by their hashes.

    As many as `most` small groups, which is enough for as many pairs. A group's hash is the sum of its
    pairs', so neither the order of pairs nor other groups decide it (nor does its size, as it would with the
    least of them).
    """
    lowest = connected(hashes)
    # Where a pair is the lowest of its group, a group begins: the count of beginnings numbers them.
    group = np.cumsum(lowest == np.arange(len(lowest), dtype=lowest.dtype), dtype=np.int32)[lowest] - 1
    del lowest
    sizes = np.bincount(group)
    total = np.zeros(len(sizes), dtype=np.uint64)
    np.add.at(total, group, _mixed(hashes))
    small = sizes <= LARGEST_GROUP_CUT
    ahead = total[small]
    if most < len(ahead):
        ahead.partition(most - 1)
        small &= total <= ahead[most - 1]
    order = np.flatnonzero(small)
    return group, sizes, order[np.argsort(total[order], kind="stable")]


def _mixed(hashes: Hashes) -> UInt[np.ndarray, " pairs"]:
    """One 64-bit hash per pair: multiplied by odd constants, so that swapped sides differ."""
    # Unsigned, as products wrap around. The constants: 2^64 by the golden ratio, and a prime of xxHash.
    source, target = hashes.source.view(np.uint64), hashes.target.view(np.uint64)
    mixed: np.ndarray = source * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= target * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    return mixed


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
        # A copy: labels that are lowered here would else be read again in the same pass.
        np.minimum.at(lower, label, lower.copy())
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower


def _numbered(values: Int[np.ndarray, " pairs"]) -> tuple[Int[np.ndarray, " pairs"], int]:
    """Equal values get equal numbers from 0. Also how many there are.

    As np.unique with its inverse, in less than half the memory.
    """
    order = np.argsort(values)
    ascending = values[order]
    rank = np.zeros(len(values), dtype=np.int32)
    np.cumsum(ascending[1:] != ascending[:-1], dtype=np.int32, out=rank[1:])
    del ascending
    number = np.empty_like(rank)
    number[order] = rank
    return number, int(rank[-1]) + 1
