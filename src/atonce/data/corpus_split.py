"""A corpus split: what may not be shared, where each pair goes, and what was left out on the way.

A recipe may bring validation and test texts or leave them to be cut off the training text, and may say what
training must not share with them or leave that to the data. `splits` has the arithmetic over hashes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from atonce.data.config import DataConfig, Repeats
from atonce.data.left_out import MUCH, Counts
from atonce.data.normalization import is_blank
from atonce.data.pairs import Corpus, Pair
from atonce.data.splits import (
    PAIRS_AT_ONCE,
    Hashes,
    Side,
    cut,
    overlaps,
    overlaps_by_target,
    repeated_targets,
)
from atonce.errors import DataError
from atonce.shapes import Int

MOST_REPEATED = 0.5
"""Share of the pairs. Where more have a target that another source has, targets repeat by their nature."""


@dataclass(frozen=True)
class Apart:
    """What a training pair must not share with one that it is validated or tested on."""

    by: Repeats
    """A source, or either side. Never "auto"."""
    notes: tuple[str, ...] = ()
    """Why, where the data decided."""

    def hashes(self, hashes: Hashes) -> Hashes:
        """Those by which pairs are told apart."""
        return hashes.by_sources() if self.by == "sources" else hashes


@dataclass
class CorpusSplit:
    """A corpus with the side of each of its training pairs (those with an empty side not counted)."""

    corpus: Corpus
    sides: Int[np.ndarray, " pairs"]
    valid: list[Pair]
    test: list[Pair]
    counts: Counts
    apart: Apart
    notes: tuple[str, ...] = ()

    def with_sides(self) -> Iterator[tuple[Pair, int]]:
        """Stream the corpus again, each pair with its Side. Raises DataError if it is not what it was."""
        # Bytes are plain ints; an array would make an object of numpy's for each pair.
        sides = iter(self.sides.tobytes())
        for pair in self.corpus.train():
            if not _is_empty(pair):
                side = next(sides, None)
                if side is None:
                    raise _changed()
                yield pair, side
        if next(sides, None) is not None:
            raise _changed()

    def training(self) -> Iterator[Pair]:
        """Stream the training pairs alone."""
        return (pair for pair, side in self.with_sides() if side == Side.TRAIN)


def split_corpus(corpus: Corpus, data: DataConfig, on_progress: Callable[[int], None]) -> CorpusSplit:
    """Read the corpus once and decide where each pair goes."""
    counts = Counts()
    # Validation and test texts are few, and kept; of training pairs, which are streamed, only the hashes are.
    test = [] if corpus.test is None else list(_counted(corpus.test(), counts))
    valid = [] if corpus.valid is None else list(_counted(corpus.valid(), counts))
    hashes = Hashes.of(_advancing(_counted(corpus.train(), counts), on_progress))
    if len(hashes.source) == 0:
        raise _empty(counts)
    apart = _apart(corpus, data, hashes, Hashes.of(valid), Hashes.of(test))
    sides = _sides(corpus, data, apart, hashes, Hashes.of(valid + test))
    if data.repeats == "auto" and apart.by == "both" and _unfilled(corpus, sides):
        # Groups of pairs that share a target, also through others, may be too large to be cut off.
        apart = _chosen("pairs with a target in common are too many to be kept together")
        sides = _sides(corpus, data, apart, hashes, Hashes.of(valid + test))
    valid = _not_sharing(valid, test, counts, apart)
    leaking = sides == Side.LEAKING
    by_target = leaking & overlaps_by_target(hashes, Hashes.of(valid + test))
    counts.pairs_leaking_by_target += int(by_target.sum())
    counts.pairs_leaking += int((leaking & ~by_target).sum())
    _check_filled(corpus, sides, valid, test, apart)
    return CorpusSplit(corpus, sides, valid, test, counts, apart, _equal_sides_notes(hashes))


def _apart(corpus: Corpus, data: DataConfig, train: Hashes, valid: Hashes, test: Hashes) -> Apart:
    """What the recipe says; or what the data say, where it leaves it to them.

    Targets that repeat by their nature have the same target in training and test without being the same
    task: if they were kept apart, next to nothing would be left to train on.
    """
    # All texts of a class have the same target: apart by targets, there would be nothing to learn.
    if data.task == "classification":
        return Apart("sources")
    if data.repeats != "auto":
        return Apart(data.repeats)
    given = Hashes(*(np.concatenate(sides) for sides in zip(valid, test, strict=True)))
    for what, hashes, others in (("training", train, given), ("validation", valid, test)):
        # By targets alone: what shares a source, too, is left out whatever is decided here.
        lost = overlaps_by_target(hashes, others)
        # any: of no pairs there is no mean.
        if lost.any() and lost.mean() > MUCH:
            return _chosen(
                f"{lost.mean():.0%} of the {what} pairs share a target, and no source, with those that a "
                "model is tested on"
            )
    # What is given was compared above; only of what is to be cut off nobody knows yet what it will share.
    is_cut = corpus.valid is None or corpus.test is None
    repeated = repeated_targets(train) if is_cut else 0.0
    if repeated > MOST_REPEATED:
        return _chosen(f"{repeated:.0%} of the pairs have a target that another source has, too")
    return Apart("both")


def _chosen(why: str) -> Apart:
    """What shares a source alone, chosen by the data."""
    note = (
        f"{why.replace('%', ' %', 1)}: so validation and test are kept apart from training by their "
        'sources alone (data.repeats = "sources"), and may have targets that training has. '
        'data.repeats = "both" leaves out of training whatever shares a target, too.'
    )
    return Apart("sources", (note,))


def _sides(
    corpus: Corpus, data: DataConfig, apart: Apart, train: Hashes, given: Hashes
) -> Int[np.ndarray, " pairs"]:
    """The Side of each training pair."""
    train, given = apart.hashes(train), apart.hashes(given)
    sides = np.full(len(train.source), Side.LEAKING, dtype=np.int8)
    free = ~overlaps(train, given)
    sides[free] = cut(
        # no copy of ten million hashes where nothing leaks
        train if free.all() else Hashes(train.source[free], train.target[free]),
        valid_size=data.valid_size if corpus.valid is None else 0,
        test_size=data.test_size if corpus.test is None else 0,
    )
    return sides


def _unfilled(corpus: Corpus, sides: Int[np.ndarray, " pairs"]) -> bool:
    """Whether a split that is to be cut off, or training, got no pair."""
    wanted = {Side.TRAIN, *([Side.VALID] * (corpus.valid is None)), *([Side.TEST] * (corpus.test is None))}
    return not wanted <= set(np.flatnonzero(np.bincount(sides)).tolist())


def _equal_sides_notes(hashes: Hashes) -> tuple[str, ...]:
    """Whether most pairs have the same text on both sides, as where one file or column is named twice."""
    equal = float((hashes.source == hashes.target).mean())
    if equal <= MOST_REPEATED:
        return ()
    return (
        f"{equal:.0%} of the pairs have the same text on both sides, case and punctuation aside: if that is "
        "not meant, check data.source and data.target.".replace("%", " %", 1),
    )


def _counted(pairs: Iterator[Pair], counts: Counts) -> Iterator[Pair]:
    """The pairs with two sides that say something."""
    for pair in pairs:
        counts.pairs_read += 1
        if not _is_empty(pair):
            yield pair
        elif is_blank(pair.source) and is_blank(pair.target):
            counts.pairs_blank += 1
        else:
            counts.pairs_empty += 1


def _is_empty(pair: Pair) -> bool:
    source, target = pair
    if source[:1].isalnum() and target[:1].isalnum():  # as most are, and quickly seen
        return False
    return is_blank(source) or is_blank(target)


def _advancing(pairs: Iterator[Pair], on_progress: Callable[[int], None]) -> Iterator[Pair]:
    while chunk := list(islice(pairs, PAIRS_AT_ONCE)):
        yield from chunk
        on_progress(len(chunk))


def _not_sharing(valid: list[Pair], test: list[Pair], counts: Counts, apart: Apart) -> list[Pair]:
    """The validation pairs that share nothing with a test pair: a model is chosen by them."""
    if not valid:
        return valid
    one, other = Hashes.of(valid), Hashes.of(test)
    shared = overlaps(apart.hashes(one), apart.hashes(other))
    by_target = shared & overlaps_by_target(one, other)
    counts.pairs_leaking_by_target += int(by_target.sum())
    counts.pairs_leaking += int((shared & ~by_target).sum())
    return [pair for pair, leaks in zip(valid, shared, strict=True) if not leaks]


def _check_filled(
    corpus: Corpus, sides: Int[np.ndarray, " pairs"], valid: list[Pair], test: list[Pair], apart: Apart
) -> None:
    """Every side must get a pair. Raises DataError saying which one did not, and what helps."""
    present = set(np.flatnonzero(np.bincount(sides)).tolist())
    both = apart.by == "both"
    shared = "a side" if both else "a source"
    looser = 'data.repeats = "sources" keeps apart only what shares a source; or ' if both else ""
    if Side.TRAIN not in present:
        raise DataError(
            "no pair is left to train on",
            why=f"each shares {shared} with a validation or test pair, case and punctuation aside",
            fix=f"{looser}give other validation and test texts, or none: then they are cut off the training "
            "text",
        )
    for split, side, given in (("validation", Side.VALID, corpus.valid), ("test", Side.TEST, corpus.test)):
        if given is not None and not (valid if side is Side.VALID else test):
            raise DataError(
                f"no {split} pair is left",
                why=f"the {split} text is empty, or each of its pairs shares {shared} with a test pair",
                fix=f"{looser}give another {split} text, or none: then it is cut off the training text",
            )
        if given is None and side not in present:
            different = "texts" if both else "sources"
            raise DataError(
                f"no {split} pairs can be cut off the {len(sides):,} training pairs",
                why="at most a tenth is cut off, in whole groups of pairs that share "
                + ("a source or a target" if both else "a source"),
                fix=f"{looser}add more pairs with different {different}, or give a {split} text of its own",
            )


def _changed() -> DataError:
    return DataError(
        "the corpus changed while it was read",
        why="it is read several times, and did not have as many pairs as the first time",
        fix="start again when nothing writes to the files any more",
    )


def _empty(counts: Counts) -> DataError:
    if counts.pairs_read == 0:
        return DataError(
            "the corpus is empty",
            why="it holds not a single pair",
            fix="check the files that the recipe names",
        )
    return DataError(
        "the corpus is empty",
        why=f"of its {counts.pairs_read:,} pairs, {counts.pairs_empty:,} have an empty side, and "
        f"{counts.pairs_blank:,} are blank",
        fix="check which file, column or key the recipe names for each side",
    )
