"""Pairs of texts, and a corpus: where they can be read, as often as wanted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Pair(NamedTuple):
    """A text and what a model is to make of it. Neither side holds a line end."""

    source: str
    target: str


@dataclass(frozen=True)
class Corpus:
    """Pairs to stream, as often as wanted: each call reads from the start and gives the same pairs.

    Reading raises DataError where the corpus is broken. Pairs with an empty side are still there:
    whoever reads leaves them out and counts them.
    """

    train: Callable[[], Iterator[Pair]]
    valid: Callable[[], Iterator[Pair]] | None
    """None: the corpus brings no validation pairs, so they are cut off the training pairs."""
    test: Callable[[], Iterator[Pair]] | None
    about: str
    """One line: where the pairs come from, and under which licence."""
