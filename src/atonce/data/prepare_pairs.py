"""From pairs of texts to what a training reads: splits, pieces, stored examples; what is left out is counted.

The corpus is streamed three times (to split it, to learn the pieces, to store the examples), and no more
than hashes and one chunk of it is ever in memory.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from atonce.data.config import DataConfig, VocabularyConfig
from atonce.data.corpora import Corpus, Pair, open_corpus
from atonce.data.ends import Ends
from atonce.data.examples import Examples
from atonce.data.known_words import KnownWords
from atonce.data.labels import Labels
from atonce.data.splits import Hashes, Side, cut, sharing
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError
from atonce.progress import progress

_PAIRS_AT_ONCE = 1_000  # so few stay in the processor's cache: with 10,000 it takes a third longer

Encoded = tuple[Sequence[int], Sequence[int]]
Stored = tuple[Examples, Examples, list[Pair], list[Pair]]


def prepare_pairs(
    folder: Path, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None, *, quiet: bool
) -> dict[str, Any]:
    """Write tokenizer, labels if there are any, and examples into `folder`. Returns the report.

    Raises DataError if the corpus is broken, empty or too small to split, and OSError where the disk does.
    """
    corpus = open_corpus(data, quiet=quiet)
    with progress("Reading the corpus", quiet=quiet) as advance:
        split = _split(corpus, data, advance)
    with progress("Learning the vocabulary", quiet=quiet):
        ends = _learned_ends(split, data, vocabulary, tokenizer)
    with progress("Storing the examples", total=len(split.sides), quiet=quiet) as advance:
        training_hash = _store(folder, split, ends, data, advance)
    ends.save(folder)
    split.counts.vocabulary_size = ends.tokenizer.size
    return {
        "about": corpus.about,
        "kind": data.kind,
        **vars(split.counts),
        "training_sha256": training_hash,
    }


def stored_pairs(folder: Path) -> Stored:
    """Training and validation examples, and the pairs of validation and test, as they were stored.

    Raises RunError, or OSError, ValueError, TypeError or KeyError where files are missing or damaged.
    """
    examples = folder / "examples"
    valid_pairs, test_pairs = (_read_pairs(examples / f"{name}.jsonl") for name in ("valid", "test"))
    train, valid = (Examples.open(examples / name) for name in ("train", "valid"))
    return train, valid, valid_pairs, test_pairs


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


def _split(corpus: Corpus, data: DataConfig, advance: Callable[[int], None]) -> _Split:
    """Read the corpus once and decide where each pair goes."""
    counts = _Counts()
    test = [] if corpus.test is None else list(_counted(corpus.test(), counts))
    valid = [] if corpus.valid is None else list(_counted(corpus.valid(), counts))
    hashed = _hashes_of_sources if data.task == "classification" else Hashes.of
    valid = _not_sharing(valid, test, counts, hashed)
    hashes = hashed(_advancing(_counted(corpus.train(), counts), advance))
    if len(hashes.source) == 0:
        raise _empty(counts)
    sides = np.full(len(hashes.source), Side.LEAKING, dtype=np.int8)
    free = ~sharing(hashes, hashed(test + valid))
    counts.pairs_leaking += int((~free).sum())
    sides[free] = cut(
        hashes if free.all() else Hashes(hashes.source[free], hashes.target[free]),
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


def _hashes_of_sources(pairs: Iterable[Pair]) -> Hashes:
    """Pairs that share a label have nothing else in common."""
    source = Hashes.of(pairs).source
    return Hashes(source, source)


def _not_sharing(
    valid: list[Pair], test: list[Pair], counts: _Counts, hashed: Callable[[Iterable[Pair]], Hashes]
) -> list[Pair]:
    """The validation pairs that share no side with a test pair: a model is chosen by them."""
    if not valid:
        return valid
    shared = sharing(hashed(valid), hashed(test))
    counts.pairs_leaking += int(shared.sum())
    return [pair for pair, leaks in zip(valid, shared, strict=True) if not leaks]


def _check_filled(corpus: Corpus, sides: np.ndarray, valid: list[Pair], test: list[Pair]) -> None:
    """Every side must get a pair. Raises DataError saying which one did not, and what helps."""
    present = set(np.flatnonzero(np.bincount(sides)).tolist())
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


def _store(folder: Path, split: _Split, ends: Ends, data: DataConfig, advance: Callable[[int], None]) -> str:
    """Write the examples and the texts of validation and test. Returns the SHA-256 of the training text."""
    examples, digest = folder / "examples", sha256()
    training = _training(split, digest.update, advance)
    # What is said of a text as a whole can be said of its beginning; of a translation that is not true.
    cut_sources = data.task in ("summarisation", "classification")
    encoded = _short_enough(_encoded(training, ends), data.max_length, split.counts, cut_sources=cut_sources)
    train = Examples.write(examples / "train", encoded, vocabulary_size=ends.tokenizer.size)
    if len(train) == 0:
        raise DataError(
            f"no training pair has at most {data.max_length} pieces on each side",
            why=f"all {split.counts.pairs_too_long:,} are longer than data.max_length allows",
            fix="raise data.max_length, or split the texts into sentences",
        )
    valid = _encoded(iter(split.valid), ends)
    if cut_sources:
        valid = ((_cut(source, data.max_length), target) for source, target in valid)
    Examples.write(examples / "valid", valid, vocabulary_size=ends.tokenizer.size)
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


def _learned_ends(
    split: _Split, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None
) -> Ends:
    """A tokenizer for both sides, or one for the source and labels for the target."""
    if data.task != "classification":
        tokenizer = tokenizer or Tokenizer.train(
            (text for pair in split.training() for text in pair), vocabulary
        )
        return Ends(tokenizer, tokenizer)
    labels = Labels(sorted({pair.target for pair in split.training()}))
    tokenizer = tokenizer or Tokenizer.train((pair.source for pair in split.training()), vocabulary)
    return Ends(tokenizer, labels)


def _encoded(pairs: Iterator[Pair], ends: Ends) -> Iterator[Encoded]:
    """The ids of both sides, texts with `eos` at their end."""
    words, target, eos = KnownWords(ends.tokenizer), ends.target, ends.tokenizer.eos

    def texts(chunk: list[str]) -> Sequence[Sequence[int]]:
        encoded = words.encode_lines(chunk)
        for ids in encoded:
            ids.append(eos)
        return encoded

    while chunk := list(islice(pairs, _PAIRS_AT_ONCE)):
        sources, targets = ([pair[side] for pair in chunk] for side in (0, 1))
        if isinstance(target, Labels):
            yield from zip(texts(sources), ([target.number(name)] for name in targets), strict=True)
        else:
            yield from zip(texts(sources), texts(targets), strict=True)


def _short_enough(
    examples: Iterator[Encoded], max_length: int, counts: _Counts, *, cut_sources: bool
) -> Iterator[Encoded]:
    """The examples with at most `max_length` pieces on each side, `eos` not counted. Counts the pieces.

    `cut_sources`: longer sources are cut, and not left out.
    """
    for source, target in examples:
        if cut_sources:
            source = _cut(source, max_length)
        if max(len(source), len(target)) > max_length + 1:
            counts.pairs_too_long += 1
            continue
        counts.source_pieces += len(source)
        counts.target_pieces += len(target)
        yield source, target


def _cut(ids: Sequence[int], max_length: int) -> Sequence[int]:
    """At most so many pieces, and then `eos`."""
    return [*ids[:max_length], ids[-1]] if len(ids) > max_length + 1 else ids


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
