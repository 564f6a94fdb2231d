"""From a corpus to what a training reads: splits, pieces, stored examples, and a report of what was left out.

The corpus is streamed three times (to split it, to learn the pieces, to store the examples), and no more
than hashes and one chunk of it is ever in memory.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from atonce.data.config import DataConfig, VocabularyConfig
from atonce.data.corpora import Corpus, Pair, open_corpus
from atonce.data.examples import Examples
from atonce.data.splits import Hashes, Side, cut, sharing
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError, DiskError, RunError
from atonce.progress import progress

_REPORT = "data.json"  # put in its place last: where it is, the rest is whole
_PARTS = ("tokenizer.model", "examples", _REPORT)
_UNFINISHED = ".preparing"
_PAIRS_AT_ONCE = 10_000

Encoded = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Prepared:
    """A corpus ready to train on."""

    tokenizer: Tokenizer
    train: Examples
    valid: Examples
    """Example i is `valid_pairs[i]`."""
    valid_pairs: list[Pair]
    test_pairs: list[Pair]
    report: dict[str, Any]
    """What `data.json` says: where the pairs are from, how many went where, a hash of the training text."""


def prepare(
    data: DataConfig,
    vocabulary: VocabularyConfig,
    folder: Path,
    *,
    tokenizer: Tokenizer | None = None,
    quiet: bool = False,
) -> Prepared:
    """Read, split, tokenise and store a corpus in `folder`, which may hold other things beside.

    Pieces are learned from the training pairs, unless a `tokenizer` is given. Nothing in `folder`
    changes before all is done. Raises DataError if the corpus is broken, empty or too small to split, and
    DiskError if the disk is full or not writable.
    """
    unfinished = folder / _UNFINISHED
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a preparation that was killed
        unfinished.mkdir(parents=True)
        try:
            _prepare_in(unfinished, data, vocabulary, tokenizer, quiet)
            _put_in_place(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise DiskError(
            f"cannot write the prepared data to {folder}",
            why=error.strerror or str(error),
            fix="free some space, or choose another folder; what was there before is still there",
        ) from None
    return open_prepared(folder)


def open_prepared(folder: Path) -> Prepared:
    """Open what `prepare` wrote. Raises RunError if a part is missing or damaged."""
    try:
        report = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
        valid_pairs = _read_pairs(folder / "examples" / "valid.jsonl")
        test_pairs = _read_pairs(folder / "examples" / "test.jsonl")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"the prepared data in {folder} are not whole",
            why=f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error),
            fix="prepare them again: start the training anew in a fresh folder",
        ) from None
    return Prepared(
        tokenizer=Tokenizer.open(folder / "tokenizer.model"),
        train=Examples.open(folder / "examples" / "train"),
        valid=Examples.open(folder / "examples" / "valid"),
        valid_pairs=valid_pairs,
        test_pairs=test_pairs,
        report=report,
    )


@dataclass
class _Counts:
    """The numbers of data.json. Pairs read = train + valid + test + all that were left out."""

    pairs_read: int = 0
    pairs_empty: int = 0
    pairs_too_long: int = 0
    pairs_leaking: int = 0
    pairs_repeated: int = 0
    train_pairs: int = 0
    valid_pairs: int = 0
    test_pairs: int = 0
    source_pieces: int = 0
    target_pieces: int = 0
    vocabulary_size: int = 0


@dataclass
class _Split:
    """A corpus with the side of each of its training pairs (those with an empty side not counted)."""

    corpus: Corpus
    sides: np.ndarray
    valid: list[Pair]
    test: list[Pair]
    counts: _Counts = field(default_factory=_Counts)

    def with_sides(self) -> Iterator[tuple[Pair, int]]:
        """Stream the corpus again, each pair with its Side. Raises DataError if it is not what it was."""
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
        return (pair for pair, side in self.with_sides() if side == Side.TRAIN)


def _prepare_in(
    folder: Path, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None, quiet: bool
) -> None:
    corpus = open_corpus(data, quiet=quiet)
    with progress("Reading the corpus", quiet=quiet) as advance:
        split = _split(corpus, data, advance)
    if tokenizer is None:
        with progress("Learning the vocabulary", quiet=quiet):
            tokenizer = Tokenizer.train((text for pair in split.training() for text in pair), vocabulary)
    with progress("Storing the examples", total=len(split.sides), quiet=quiet) as advance:
        training_hash = _store(folder, split, tokenizer, data.max_length, advance)
    tokenizer.save(folder / "tokenizer.model")
    split.counts.vocabulary_size = tokenizer.size
    report = {
        "about": corpus.about,
        "kind": data.kind,
        **vars(split.counts),
        "training_sha256": training_hash,
    }
    (folder / _REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _put_in_place(unfinished: Path, folder: Path) -> None:
    (folder / _REPORT).unlink(missing_ok=True)
    shutil.rmtree(folder / "examples", ignore_errors=True)
    for part in _PARTS:
        os.replace(unfinished / part, folder / part)


def _split(corpus: Corpus, data: DataConfig, advance: Callable[[int], None]) -> _Split:
    """Read the corpus once and decide where each pair goes."""
    counts = _Counts()
    test = [] if corpus.test is None else list(_counted(corpus.test(), counts))
    valid = [] if corpus.valid is None else list(_counted(corpus.valid(), counts))
    valid = _not_sharing(valid, test, counts)
    hashes = Hashes.of(_advancing(_counted(corpus.train(), counts), advance))
    if len(hashes.source) == 0:
        raise _empty(counts)
    sides = np.full(len(hashes.source), Side.LEAKING, dtype=np.int8)
    free = ~sharing(hashes, Hashes.of(test + valid))
    counts.pairs_leaking += int((~free).sum())
    sides[free] = cut(
        Hashes(hashes.source[free], hashes.target[free]),
        valid_size=data.valid_size if corpus.valid is None else 0,
        test_size=data.test_size if corpus.test is None else 0,
    )
    _check_filled(corpus, sides, valid, test)
    return _Split(corpus, sides, valid, test, counts)


def _counted(pairs: Iterator[Pair], counts: _Counts) -> Iterator[Pair]:
    """The pairs with two sides that say something."""
    for pair in pairs:
        counts.pairs_read += 1
        if _is_empty(pair):
            counts.pairs_empty += 1
        else:
            yield pair


def _is_empty(pair: Pair) -> bool:
    return not pair.source.strip() or not pair.target.strip()


def _advancing(pairs: Iterator[Pair], advance: Callable[[int], None]) -> Iterator[Pair]:
    while chunk := list(islice(pairs, _PAIRS_AT_ONCE)):
        yield from chunk
        advance(len(chunk))


def _not_sharing(valid: list[Pair], test: list[Pair], counts: _Counts) -> list[Pair]:
    """The validation pairs that share no side with a test pair: a model is chosen by them."""
    if not valid:
        return valid
    shared = sharing(Hashes.of(valid), Hashes.of(test))
    counts.pairs_leaking += int(shared.sum())
    return [pair for pair, leaks in zip(valid, shared, strict=True) if not leaks]


def _check_filled(corpus: Corpus, sides: np.ndarray, valid: list[Pair], test: list[Pair]) -> None:
    """Every side must get a pair. Raises DataError saying which one did not, and what helps."""
    present = set(sides.tolist())
    if Side.TRAIN not in present:
        raise DataError(
            "no pair is left to train on",
            why="each shares a side with a validation or test pair, case and punctuation aside",
            fix="give other validation and test texts, or none: then they are cut off the training text",
        )
    for split, side, given in (("validation", Side.VALID, corpus.valid), ("test", Side.TEST, corpus.test)):
        if given is not None and not (valid if side is Side.VALID else test):
            raise DataError(
                f"no {split} pair is left",
                why=f"the {split} text is empty, or each of its pairs shares a side with a test pair",
                fix=f"give another {split} text, or none: then it is cut off the training text",
            )
        if given is None and side not in present:
            raise DataError(
                f"no {split} pairs can be cut off the {len(sides):,} training pairs",
                why="at most a tenth is cut off, in whole groups of pairs that share a source or a target",
                fix=f"add more pairs with different texts, or give a {split} text of its own",
            )


def _store(
    folder: Path, split: _Split, tokenizer: Tokenizer, max_length: int, advance: Callable[[int], None]
) -> str:
    """Write the examples and the texts of validation and test. Returns the SHA-256 of the training text."""
    examples, digest = folder / "examples", sha256()
    training = _training(split, digest.update, advance)
    encoded = _short_enough(_encoded(training, tokenizer), max_length, split.counts)
    train = Examples.write(examples / "train", encoded, vocabulary_size=tokenizer.size)
    if len(train) == 0:
        raise DataError(
            f"no training pair has at most {max_length} pieces on each side",
            why=f"all {split.counts.pairs_too_long:,} are longer than data.max_length allows",
            fix="raise data.max_length, or split the texts into sentences",
        )
    valid = _encoded(iter(split.valid), tokenizer)
    Examples.write(examples / "valid", valid, vocabulary_size=tokenizer.size)
    _write_pairs(examples / "valid.jsonl", split.valid)
    _write_pairs(examples / "test.jsonl", split.test)
    split.counts.train_pairs = len(train)
    split.counts.valid_pairs, split.counts.test_pairs = len(split.valid), len(split.test)
    return digest.hexdigest()


def _training(
    split: _Split, digest: Callable[[bytes], None], advance: Callable[[int], None]
) -> Iterator[Pair]:
    """Stream the training pairs through the digest; lay the others aside where they belong, once each."""
    aside: dict[int, dict[Pair, None]] = {Side.VALID: {}, Side.TEST: {}}
    for number, (pair, side) in enumerate(split.with_sides(), start=1):
        if side == Side.TRAIN:
            digest(f"{pair.source}\t{pair.target}\n".encode())
            yield pair
        elif side in aside:
            split.counts.pairs_repeated += pair in aside[side]
            aside[side][pair] = None
        if number % _PAIRS_AT_ONCE == 0:
            advance(_PAIRS_AT_ONCE)
    # A split that was given is not cut off as well, so only one of the two ever holds anything.
    split.valid = split.valid or list(aside[Side.VALID])
    split.test = split.test or list(aside[Side.TEST])


def _encoded(pairs: Iterator[Pair], tokenizer: Tokenizer) -> Iterator[Encoded]:
    """The ids of both sides, each with `eos` at its end."""
    while chunk := list(islice(pairs, _PAIRS_AT_ONCE)):
        sources = tokenizer.encode_lines([pair.source for pair in chunk])
        targets = tokenizer.encode_lines([pair.target for pair in chunk])
        for source, target in zip(sources, targets, strict=True):
            yield [*source, tokenizer.eos], [*target, tokenizer.eos]


def _short_enough(examples: Iterator[Encoded], max_length: int, counts: _Counts) -> Iterator[Encoded]:
    """The examples with at most `max_length` pieces on each side, `eos` not counted. Counts the pieces."""
    for source, target in examples:
        if max(len(source), len(target)) > max_length + 1:
            counts.pairs_too_long += 1
            continue
        counts.source_pieces += len(source)
        counts.target_pieces += len(target)
        yield source, target


def _write_pairs(path: Path, pairs: list[Pair]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(pair._asdict(), ensure_ascii=False) + "\n" for pair in pairs)


def _read_pairs(path: Path) -> list[Pair]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [Pair(**json.loads(line)) for line in file]


def _changed() -> DataError:
    return DataError(
        "the corpus changed while it was read",
        why="it is read several times, and did not have as many pairs as the first time",
        fix="start again when nothing writes to the files any more",
    )


def _empty(counts: _Counts) -> DataError:
    if counts.pairs_read == 0:
        return DataError(
            "the corpus is empty",
            why="it holds not a single pair",
            fix="check the files that the recipe names",
        )
    return DataError(
        "the corpus is empty",
        why=f"of its {counts.pairs_read:,} pairs, {counts.pairs_empty:,} have an empty side",
        fix="check which file, column or key the recipe names for each side",
    )
