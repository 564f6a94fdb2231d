"""A lexicon: what each piece of a source may become in the target, learned from the training pairs alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from atonce.data.examples import Examples
from atonce.shapes import Float, Int

LIKELY = 30
"""Target pieces that are remembered for each source piece."""
COMMON = 200
"""Target pieces that are remembered as the most frequent of all."""
ROUNDS = 5
"""Of learning: more change little."""
MOST_LINKS = 10_000_000
"""Pieces of a source times pieces of its target, over all that is learned from: 0.8 GB while it learns."""


@dataclass(frozen=True)
class Lexicon:
    """Target pieces by source piece, and those of every text."""

    likely: Int[np.ndarray, "size likely"]
    """For each source piece the pieces it may become, likeliest first. The first is itself: names and numbers
    are copied. Where fewer were seen, it fills the rest."""
    common: Int[np.ndarray, " common"]
    """The most frequent target pieces, most frequent first; `eos` among them."""

    @classmethod
    def learn(
        cls, examples: Examples, size: int, *, advance: Callable[[int], None] = lambda _: None
    ) -> "Lexicon":
        """From pairs in pieces of a vocabulary of `size`; from the first of them, where there are very many.

        IBM Model 1 (Brown 1993, section 4.1): each target piece comes from one of the source's pieces, and
        expectation-maximisation finds how likely each source piece becomes which. `advance` is called after
        each of the `ROUNDS`.
        """
        pairs = _some(examples)
        sources, targets = _side(examples, pairs, 0), _side(examples, pairs, 1)
        source_of, target_of = _links(sources[1], targets[1])
        links, link = np.unique(sources[0][source_of] * size + targets[0][target_of], return_inverse=True)
        del source_of
        source, target = links // size, links % size
        share = np.ones(len(links))
        for _ in range(ROUNDS):
            weight = share[link]
            weight /= np.bincount(target_of, weight, minlength=len(targets[0]))[target_of]
            counts = np.bincount(link, weight, minlength=len(links))
            share = counts / np.bincount(source, counts, minlength=size)[source]
            advance(1)
        frequency = np.bincount(targets[0], minlength=size)
        common = np.argsort(-frequency, kind="stable")[: min(COMMON, np.count_nonzero(frequency))]
        return Lexicon(_likeliest(source, target, share, size), common)


def _some(examples: Examples) -> int:
    """How many pairs have at most `MOST_LINKS` links, counted from the first."""
    links = np.cumsum(examples.source_lengths.astype(np.int64) * examples.target_lengths)
    return max(1, int(np.searchsorted(links, MOST_LINKS, side="right")))


def _side(
    examples: Examples, pairs: int, side: int
) -> tuple[Int[np.ndarray, " pieces"], Int[np.ndarray, " pairs"]]:
    """The pieces of the first sources (0) or targets (1) one after the other, and the length of each."""
    bounds = examples.offsets[: 2 * pairs + 1]
    lengths = np.diff(bounds)
    sides = np.repeat(np.arange(len(lengths)) % 2, lengths)
    return examples.pieces[: bounds[-1]][sides == side].astype(np.int64), lengths[side::2]


def _links(
    sources: Int[np.ndarray, " pairs"], targets: Int[np.ndarray, " pairs"]
) -> tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"]]:
    """Each piece of a source with each piece of its target, by their numbers in the whole. Takes lengths."""
    width = np.repeat(targets, sources)  # of each source piece: how many targets it may become
    source = np.repeat(np.arange(len(width)), width)
    first = np.repeat(np.cumsum(targets) - targets, sources)  # its target's first piece
    within = np.arange(len(source)) - np.repeat(np.cumsum(width) - width, width)
    return source, first[source] + within


def _likeliest(
    source: Int[np.ndarray, " kinds"],
    target: Int[np.ndarray, " kinds"],
    share: Float[np.ndarray, " kinds"],
    size: int,
) -> Int[np.ndarray, "size likely"]:
    """The targets of each source, by falling share, after the source itself."""
    order = np.lexsort((-share, source))
    source, target = source[order], target[order]
    rank = np.arange(len(source)) - np.searchsorted(source, source)
    likely = np.repeat(np.arange(size)[:, None], LIKELY, axis=1)
    kept = rank < LIKELY - 1
    likely[source[kept], rank[kept] + 1] = target[kept]
    return likely
