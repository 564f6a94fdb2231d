"""From pairs of texts to what a training reads: splits, tokens, stored examples; what is left out is counted.

The corpus is streamed three times (to split it, to learn the tokens, to store the examples), and no more
than hashes and one chunk of it is ever in memory.
"""

import json
from array import array
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from atonce import stored
from atonce.data.config import DataConfig, TableConfig, VocabularyConfig
from atonce.data.corpora.registry import open_corpus
from atonce.data.corpus_split import CorpusSplit, split_corpus
from atonce.data.io_spec import IOSpec, Labels
from atonce.data.left_out import MUCH, Counts, warnings
from atonce.data.normalization import compared
from atonce.data.pairs import ID_TYPE, Corpus, Examples, Pair
from atonce.data.splits import PAIRS_AT_ONCE, Side
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError
from atonce.progress import progress

MOST_CHARACTERS = 2_000_000
"""Of all words remembered, some 300,000 of them. Beyond that all are forgotten, and learned anew."""
LONG_WORD = 16
"""Characters. Lines of longer words, on average, are in a script without spaces, and no word comes again."""

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
        split = split_corpus(corpus, data, advance)
    with progress("Learning the vocabulary", quiet=quiet):
        io_spec = _learned_io_spec(split, data, vocabulary, tokenizer)
    with progress("Storing the examples", total=len(split.sides), quiet=quiet) as advance:
        training_hash = _store(folder, split, io_spec, data, advance)
    io_spec.save(folder)
    split.counts.vocabulary_size = io_spec.tokenizer.size
    # Keys say pieces, as tokens were once called: older runs and programs that read them have these.
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
    # Without sums, as in runs of older versions, nothing has said yet that these ids are labels.
    if not trusted and isinstance(io_spec.target, Labels):
        for one in (train, valid):
            labels = one.tokens[one.offsets[1:-1:2]]
            if (one.target_lengths != 1).any() or (labels >= len(io_spec.target)).any():
                raise ValueError("the examples have labels that are not in labels.json")
    return train, valid, valid_pairs, test_pairs


def _quoted_notes(corpus: Corpus, data: DataConfig) -> list[str]:
    """Whether texts look as spreadsheets write them, and are not read so."""
    if not isinstance(data, TableConfig) or data.kind == "jsonl" or data.is_quoted:
        return []
    first = list(islice(corpus.train(), PAIRS_AT_ONCE))
    quoted = sum(any(len(text) > 1 and text[0] == text[-1] == '"' for text in pair) for pair in first)
    if quoted <= MUCH * len(first):
        return []
    return [
        f"{quoted:,} of the first {len(first):,} pairs have a text in quotation marks, which are read as "
        'part of it. If a spreadsheet wrote them: data.quoting = "csv".'
    ]


def _store(
    folder: Path, split: CorpusSplit, io_spec: IOSpec, data: DataConfig, on_progress: Callable[[int], None]
) -> str:
    """Write the examples and the texts of validation and test. Returns the SHA-256 of the training text."""
    examples, digest = folder / "examples", sha256()
    # Nothing is read yet: these are streams in streams, which `Examples.write` drives.
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
    # Not before the training pairs: what was cut off for validation is laid aside as they are streamed.
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
    split: CorpusSplit, digest: Callable[[bytes], None], on_progress: Callable[[int], None]
) -> Iterator[Pair]:
    """Stream the training pairs through the digest; lay the others aside where they belong, once each."""
    aside: dict[int, dict[Pair, None]] = {Side.VALID: {}, Side.TEST: {}}
    for number, (pair, side) in enumerate(split.with_sides(), start=1):
        if side == Side.TRAIN:
            digest(f"{pair.source}\t{pair.target}\n".encode())
            yield pair
        elif side in aside:
            # Pairs that are the same have the same hash, and so the same side: they meet here.
            split.counts.pairs_repeated += pair in aside[side]
            aside[side][pair] = None
        if number % PAIRS_AT_ONCE == 0:
            on_progress(PAIRS_AT_ONCE)
    # A split that was given is not cut off as well, so only one of the two ever holds anything.
    split.valid = split.valid or list(aside[Side.VALID])
    split.test = split.test or list(aside[Side.TEST])


def _learned_io_spec(
    split: CorpusSplit, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None
) -> IOSpec:
    """A tokenizer for both sides, or one for the source and labels for the target."""
    if data.task != "classification":
        tokenizer = tokenizer or Tokenizer.train(
            (text for pair in split.training() for text in pair), vocabulary
        )
        return IOSpec(tokenizer, tokenizer)
    tokenizer = tokenizer or Tokenizer.train((pair.source for pair in split.training()), vocabulary)
    # A set first: there are few labels and millions of pairs.
    names = list({pair.target for pair in split.training()})
    return IOSpec(tokenizer, Labels(sorted(set(compared(names, tokenizer.normalization)))))


def _encoded(pairs: Iterator[Pair], io_spec: IOSpec, counts: Counts | None = None) -> Iterator[Encoded]:
    """The ids of both sides, texts with `eos` at their end. Counts texts that are read as spelt otherwise."""
    tokenizer, target = io_spec.tokenizer, io_spec.target
    words, eos = EncodeCache(tokenizer), tokenizer.eos

    def texts(chunk: list[str]) -> tuple[Sequence[Sequence[int]], int]:
        # Here and not in the tokenizer, to count what is respelt without doing it twice.
        read = tokenizer.normalized_lines(chunk)
        respelt = 0 if read == chunk else sum(map(_is_respelt, read, chunk))
        # Fresh sequences each time: `eos` is added in place, and the cache keeps bytes.
        encoded = words.encode_normalized(read)
        for ids in encoded:
            ids.append(eos)
        return encoded, respelt

    while chunk := list(islice(pairs, PAIRS_AT_ONCE)):
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
    examples: Iterator[Encoded], max_length: int, counts: Counts, *, cut_sources: bool
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


class EncodeCache:
    """Encodes as its tokenizer does, text after text: everyday sentences in a third of the time."""

    def __init__(self, tokenizer: Tokenizer, *, most_characters: int = MOST_CHARACTERS) -> None:
        self._tokenizer = tokenizer
        self._ids = _Ids(tokenizer, most_characters)

    def encode_lines(self, lines: list[str]) -> Sequence[MutableSequence[int]]:
        """The ids of each line: those of `Tokenizer.encode_lines`."""
        return self.encode_normalized(self._tokenizer.normalized_lines(lines))

    def encode_normalized(self, lines: list[str]) -> Sequence[MutableSequence[int]]:
        """As `encode_lines`, of lines that are spelt as the tokenizer spells them."""
        words = sum(line.count(" ") + 1 for line in lines)
        if not self._tokenizer.words_stand_alone or sum(map(len, lines)) > LONG_WORD * words:
            return self._tokenizer.encode_normalized(lines)
        return [self._encode(line) for line in lines]

    def _encode(self, text: str) -> "array[int]":
        words = text.split(" ")
        if "" in words:  # two spaces, or one at an end: tokens may reach over them
            words = [text]
        return array(ID_TYPE, b"".join(map(self._ids.__getitem__, words)))


class _Ids(dict[str, bytes]):
    """The ids of each word. Filled as words occur."""

    def __init__(self, tokenizer: Tokenizer, most_characters: int) -> None:
        super().__init__()
        self._tokenizer, self._most, self._characters = tokenizer, most_characters, 0

    def __missing__(self, word: str) -> bytes:
        if self._characters > self._most:
            self.clear()
            self._characters = 0
        self._characters += len(word)
        # Bytes, joined at one stroke: with them and the look-up, a million pairs take 9 s to store, not 23.
        ids = self[word] = array(ID_TYPE, self._tokenizer.encode_normalized_text(word)).tobytes()
        return ids
