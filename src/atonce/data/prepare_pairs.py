"""From pairs of texts to what a training reads: splits, tokens, stored examples; what is left out is counted.

The corpus is streamed three times (to split it, to learn the tokens, to store the examples), and no more
than hashes and one chunk of it is ever in memory.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from atonce import stored
from atonce.data.config import DataConfig, Repeats, TableConfig, VocabularyConfig
from atonce.data.corpora.registry import open_corpus
from atonce.data.encode_cache import EncodeCache
from atonce.data.examples import Examples
from atonce.data.io_spec import IOSpec
from atonce.data.labels import Labels
from atonce.data.left_out import MUCH, warnings
from atonce.data.normalization import compared, is_blank
from atonce.data.pairs import Corpus, Pair
from atonce.data.splits import Hashes, Side, cut, overlaps, overlaps_by_target, repeated_targets
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError
from atonce.progress import progress

_PAIRS_AT_ONCE = 1_000  # so few stay in the processor's cache: with 10,000 it takes a third longer

MOST_REPEATED = 0.5
"""Share of the pairs. Where more have a target that another source has, targets repeat by their nature."""

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
        io_spec = _learned_io_spec(split, data, vocabulary, tokenizer)
    with progress("Storing the examples", total=len(split.sides), quiet=quiet) as advance:
        training_hash = _store(folder, split, io_spec, data, advance)
    io_spec.save(folder)
    split.counts.vocabulary_size = io_spec.tokenizer.size
    report = {
        "about": corpus.about,
        "kind": data.kind,
        **vars(split.counts),
        "repeats": split.apart.by,
        "normalization": io_spec.tokenizer.normalization,
        "training_sha256": training_hash,
        "notes": [*split.apart.notes, *split.notes, *_quoted_notes(corpus, data)],
    }
    return {**report, "warnings": warnings(report)}


def stored_pairs(folder: Path, io_spec: IOSpec, *, trusted: bool) -> Stored:
    """Training and validation examples, and the pairs of validation and test, as they were stored.

    `trusted`: they have their sums. Raises RunError, or OSError, ValueError, TypeError or KeyError where
    files are missing or damaged.
    """
    examples = folder / "examples"
    valid_pairs, test_pairs = (_read_pairs(examples / f"{name}.jsonl") for name in ("valid", "test"))
    train, valid = (
        Examples.open(examples / name, trusted=trusted, ids=io_spec.tokenizer.size)
        for name in ("train", "valid")
    )
    if not trusted and isinstance(io_spec.target, Labels):
        for one in (train, valid):
            labels = one.tokens[one.offsets[1:-1:2]]
            if (one.target_lengths != 1).any() or (labels >= len(io_spec.target)).any():
                raise ValueError("the examples have labels that are not in labels.json")
    return train, valid, valid_pairs, test_pairs


@dataclass
class _Counts:
    """The numbers of data.json. Pairs read = train + valid + test + all that were left out, by reason."""

    pairs_read: int = 0
    pairs_blank: int = 0
    pairs_empty: int = 0
    pairs_too_long: int = 0
    pairs_leaking: int = 0
    pairs_leaking_by_target: int = 0
    pairs_repeated: int = 0
    sources_cut: int = 0
    sources_respelt: int = 0
    targets_respelt: int = 0
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
    counts: _Counts
    apart: "_Apart"
    notes: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class _Apart:
    """What a training pair must not share with one that it is validated or tested on."""

    by: Repeats
    """A source, or either side. Never "auto"."""
    notes: tuple[str, ...] = ()
    """Why, where the data decided."""

    def hashes(self, hashes: Hashes) -> Hashes:
        """Those by which pairs are told apart."""
        return hashes.by_sources() if self.by == "sources" else hashes


def _split(corpus: Corpus, data: DataConfig, on_progress: Callable[[int], None]) -> _Split:
    """Read the corpus once and decide where each pair goes."""
    counts = _Counts()
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
    return _Split(corpus, sides, valid, test, counts, apart, _equal_sides_notes(hashes))


def _apart(corpus: Corpus, data: DataConfig, train: Hashes, valid: Hashes, test: Hashes) -> _Apart:
    """What the recipe says; or what the data say, where it leaves it to them.

    Targets that repeat by their nature have the same target in training and test without being the same
    task: if they were kept apart, next to nothing would be left to train on.
    """
    if data.task == "classification":
        return _Apart("sources")
    if data.repeats != "auto":
        return _Apart(data.repeats)
    given = Hashes(*(np.concatenate(sides) for sides in zip(valid, test, strict=True)))
    for what, hashes, others in (("training", train, given), ("validation", valid, test)):
        lost = overlaps_by_target(hashes, others)
        if lost.any() and lost.mean() > MUCH:
            return _chosen(
                f"{lost.mean():.0%} of the {what} pairs share a target, and no source, with those that a "
                "model is tested on"
            )
    is_cut = corpus.valid is None or corpus.test is None
    repeated = repeated_targets(train) if is_cut else 0.0
    if repeated > MOST_REPEATED:
        return _chosen(f"{repeated:.0%} of the pairs have a target that another source has, too")
    return _Apart("both")


def _chosen(why: str) -> _Apart:
    """What shares a source alone, chosen by the data."""
    note = (
        f"{why.replace('%', ' %', 1)}: so validation and test are kept apart from training by their "
        'sources alone (data.repeats = "sources"), and may have targets that training has. '
        'data.repeats = "both" leaves out of training whatever shares a target, too.'
    )
    return _Apart("sources", (note,))


def _sides(corpus: Corpus, data: DataConfig, apart: _Apart, train: Hashes, given: Hashes) -> np.ndarray:
    """The Side of each training pair."""
    train, given = apart.hashes(train), apart.hashes(given)
    sides = np.full(len(train.source), Side.LEAKING, dtype=np.int8)
    free = ~overlaps(train, given)
    sides[free] = cut(
        train if free.all() else Hashes(train.source[free], train.target[free]),
        valid_size=data.valid_size if corpus.valid is None else 0,
        test_size=data.test_size if corpus.test is None else 0,
    )
    return sides


def _unfilled(corpus: Corpus, sides: np.ndarray) -> bool:
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


def _quoted_notes(corpus: Corpus, data: DataConfig) -> list[str]:
    """Whether texts look as spreadsheets write them, and are not read so."""
    if not isinstance(data, TableConfig) or data.kind == "jsonl" or data.is_quoted:
        return []
    first = list(islice(corpus.train(), _PAIRS_AT_ONCE))
    quoted = sum(any(len(text) > 1 and text[0] == text[-1] == '"' for text in pair) for pair in first)
    if quoted <= MUCH * len(first):
        return []
    return [
        f"{quoted:,} of the first {len(first):,} pairs have a text in quotation marks, which are read as "
        'part of it. If a spreadsheet wrote them: data.quoting = "csv".'
    ]


def _counted(pairs: Iterator[Pair], counts: _Counts) -> Iterator[Pair]:
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
    while chunk := list(islice(pairs, _PAIRS_AT_ONCE)):
        yield from chunk
        on_progress(len(chunk))


def _not_sharing(valid: list[Pair], test: list[Pair], counts: _Counts, apart: _Apart) -> list[Pair]:
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
    corpus: Corpus, sides: np.ndarray, valid: list[Pair], test: list[Pair], apart: _Apart
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


def _store(
    folder: Path, split: _Split, io_spec: IOSpec, data: DataConfig, on_progress: Callable[[int], None]
) -> str:
    """Write the examples and the texts of validation and test. Returns the SHA-256 of the training text."""
    examples, digest = folder / "examples", sha256()
    training = _training(split, digest.update, on_progress)
    # What is said of a text as a whole can be said of its beginning; of a translation that is not true.
    cut_sources = data.task in ("summarization", "classification")
    encoded = _short_enough(
        _encoded(training, io_spec, split.counts), data.max_length, split.counts, cut_sources=cut_sources
    )
    train = Examples.write(examples / "train", encoded, vocabulary_size=io_spec.tokenizer.size)
    if len(train) == 0:
        raise DataError(
            f"no training pair has at most {data.max_length} tokens on each side",
            why=f"all {split.counts.pairs_too_long:,} are longer than data.max_length allows",
            fix="raise data.max_length, or split the texts into sentences",
        )
    valid = _encoded(iter(split.valid), io_spec)
    if cut_sources:
        valid = ((_cut(source, data.max_length), target) for source, target in valid)
    Examples.write(examples / "valid", valid, vocabulary_size=io_spec.tokenizer.size)
    _write_pairs(examples / "valid.jsonl", split.valid)
    _write_pairs(examples / "test.jsonl", split.test)
    split.counts.train_pairs = len(train)
    split.counts.valid_pairs, split.counts.test_pairs = len(split.valid), len(split.test)
    return digest.hexdigest()


def _training(
    split: _Split, digest: Callable[[bytes], None], on_progress: Callable[[int], None]
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
            on_progress(_PAIRS_AT_ONCE)
    # A split that was given is not cut off as well, so only one of the two ever holds anything.
    split.valid = split.valid or list(aside[Side.VALID])
    split.test = split.test or list(aside[Side.TEST])


def _learned_io_spec(
    split: _Split, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None
) -> IOSpec:
    """A tokenizer for both sides, or one for the source and labels for the target."""
    if data.task != "classification":
        tokenizer = tokenizer or Tokenizer.train(
            (text for pair in split.training() for text in pair), vocabulary
        )
        return IOSpec(tokenizer, tokenizer)
    tokenizer = tokenizer or Tokenizer.train((pair.source for pair in split.training()), vocabulary)
    names = list({pair.target for pair in split.training()})
    return IOSpec(tokenizer, Labels(sorted(set(compared(names, tokenizer.normalization)))))


def _encoded(pairs: Iterator[Pair], io_spec: IOSpec, counts: _Counts | None = None) -> Iterator[Encoded]:
    """The ids of both sides, texts with `eos` at their end. Counts texts that are read as spelt otherwise."""
    tokenizer, target = io_spec.tokenizer, io_spec.target
    words, eos = EncodeCache(tokenizer), tokenizer.eos

    def texts(chunk: list[str]) -> tuple[Sequence[Sequence[int]], int]:
        read = tokenizer.normalized_lines(chunk)
        respelt = 0 if read == chunk else sum(map(_is_respelt, read, chunk))
        encoded = words.encode_normalized(read)
        for ids in encoded:
            ids.append(eos)
        return encoded, respelt

    while chunk := list(islice(pairs, _PAIRS_AT_ONCE)):
        sources, targets = ([pair[side] for pair in chunk] for side in (0, 1))
        encoded, sources_respelt = texts(sources)
        if isinstance(target, Labels):
            written: Sequence[Sequence[int]] = [[target.number(name)] for name in targets]
            targets_respelt = 0
        else:
            written, targets_respelt = texts(targets)
        if counts is not None:
            counts.sources_respelt += sources_respelt
            counts.targets_respelt += targets_respelt
        yield from zip(encoded, written, strict=True)


def _is_respelt(read: str, given: str) -> bool:
    """Whether more than blanks around a text is another."""
    return read != given and read != given.strip()


def _short_enough(
    examples: Iterator[Encoded], max_length: int, counts: _Counts, *, cut_sources: bool
) -> Iterator[Encoded]:
    """The examples with at most `max_length` tokens on each side, `eos` not counted. Counts the tokens.

    `cut_sources`: longer sources are cut, and not left out.
    """
    for source, target in examples:
        if cut_sources and len(source) > max_length + 1:
            counts.sources_cut += 1
            source = _cut(source, max_length)
        if max(len(source), len(target)) > max_length + 1:
            counts.pairs_too_long += 1
            continue
        counts.source_pieces += len(source)
        counts.target_pieces += len(target)
        yield source, target


def _cut(ids: Sequence[int], max_length: int) -> Sequence[int]:
    """At most so many tokens, and then `eos`."""
    return [*ids[:max_length], ids[-1]] if len(ids) > max_length + 1 else ids


def _write_pairs(path: Path, pairs: list[Pair]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(pair._asdict(), ensure_ascii=False) + "\n" for pair in pairs)


def _read_pairs(path: Path) -> list[Pair]:
    try:
        pairs = []
        for line in stored.lines(path):
            if not line.endswith(b"\n"):
                raise ValueError("its last line is cut off")
            pairs.append(_pair(stored.parse_json(line)))
        return pairs
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _pair(values: Any) -> Pair:
    pair = Pair(**values)
    if not isinstance(pair.source, str) or not isinstance(pair.target, str):
        raise TypeError("a line does not have two texts")
    return pair


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
        why=f"of its {counts.pairs_read:,} pairs, {counts.pairs_empty:,} have an empty side, and "
        f"{counts.pairs_blank:,} are blank",
        fix="check which file, column or key the recipe names for each side",
    )
