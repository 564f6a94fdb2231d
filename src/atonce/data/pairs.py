"""Pairs of texts: a corpus of them as it is streamed, and as examples on disk once it is tokenised."""

import json
import mmap
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from atonce import stored
from atonce.errors import damaged, reason
from atonce.shapes import Bool, Int, UInt

# Named when a token was called a piece: old runs must open, so files keep their names.
_PIECES, _OFFSETS, _HEAD = "pieces.bin", "offsets.bin", "examples.json"
_WRITTEN_AT_ONCE = 10_000
PREPARE_AGAIN = "delete the folder and prepare the data again: start the training anew"
ID_TYPE = "I"
"""Ids in an `array` that is to be stored. An array of them is taken over at one stroke, a list one by one."""


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


class Examples:
    """Pairs of id sequences, stored as they are trained on: each source and each target ends with `eos`.

    They are read through the page cache, so that a corpus may be larger than memory.

    `tokens` holds all ids one after the other: source 0, target 0, source 1, ... Sequence k reaches from
    `offsets[k]` to before `offsets[k + 1]`, so pair i has its source at 2 i and its target at 2 i + 1.
    """

    def __init__(
        self,
        tokens: UInt[np.ndarray, " tokens"],
        offsets: Int[np.ndarray, " offsets"],
        maps: tuple[mmap.mmap, ...] = (),
    ) -> None:
        """`maps`: what the arrays are views of, where they are files."""
        self.tokens, self.offsets = tokens, offsets
        self._maps = maps

    @classmethod
    def write(
        cls,
        folder: Path,
        pairs: Iterable[tuple[Sequence[int], Sequence[int]]],
        *,
        vocabulary_size: int = 65_536,
    ) -> "Examples":
        """Stream `pairs` into a new folder and open it. 2 bytes an id up to 65,536 ids, else 4.

        Raises OSError where the disk does.
        """
        folder.mkdir(parents=True)
        id_type = np.dtype(np.uint16 if vocabulary_size <= 65_536 else np.uint32)
        sequences, end = 0, 0
        with (folder / _PIECES).open("wb") as tokens_file, (folder / _OFFSETS).open("wb") as offsets_file:
            offsets_file.write(np.zeros(1, np.int64).tobytes())
            ids, offsets = array(ID_TYPE), array("q")
            for pair in pairs:
                for sequence in pair:
                    ids.extend(sequence)
                    end += len(sequence)
                    offsets.append(end)
                if len(offsets) >= 2 * _WRITTEN_AT_ONCE:
                    sequences += len(offsets)
                    _flush(ids, tokens_file, id_type)
                    _flush(offsets, offsets_file, np.dtype(np.int64))
            sequences += len(offsets)
            _flush(ids, tokens_file, id_type)
            _flush(offsets, offsets_file, np.dtype(np.int64))
        head = {"pairs": sequences // 2, "pieces": end, "id_type": id_type.name}
        (folder / _HEAD).write_text(json.dumps(head), encoding="utf-8")
        return Examples.open(folder)

    @classmethod
    def open(cls, folder: Path, *, trusted: bool = True, ids: int | None = None) -> "Examples":
        """Map what `write` wrote. Raises RunError if it is missing or damaged.

        `trusted`: their sums are right, or it matters little; without, all is looked at, and that ids are
        below `ids`.
        """
        try:
            head = _read_head(folder)
            counts = [head[name] for name in ("pairs", "pieces")]
            if not all(type(count) is int and 0 <= count < 1 << 48 for count in counts):
                raise ValueError(f"{_HEAD} has other things than numbers of pairs and tokens")
            if head["id_type"] not in ("uint16", "uint32"):
                raise ValueError(f"{_HEAD} has an id_type that is not known")
            tokens, map_of_tokens = _mapped(folder / _PIECES, np.dtype(head["id_type"]), head["pieces"])
            offsets, map_of_offsets = _mapped(folder / _OFFSETS, np.dtype(np.int64), 2 * head["pairs"] + 1)
            if offsets[0] != 0 or offsets[-1] != len(tokens):
                raise ValueError(f"{_OFFSETS} does not fit {_PIECES}")
            # A target has its `eos` at least. Sources may be empty: those of images are.
            if not trusted and ((offsets[1:] < offsets[:-1]).any() or (offsets[2::2] == offsets[1::2]).any()):
                raise ValueError(f"{_OFFSETS} goes back, or has targets of no length")
            if not trusted and ids is not None and len(tokens) and tokens.max() >= ids:
                raise ValueError(f"{_PIECES} has ids that are not in the vocabulary")
        except (OSError, ValueError, KeyError, TypeError) as error:
            name = Path(error.filename).name if isinstance(error, OSError) and error.filename else ""
            why = f"{name}: {reason(error)}" if name else str(error)
            raise damaged(folder, why, fix=PREPARE_AGAIN) from None
        return Examples(tokens, offsets, (*map_of_tokens, *map_of_offsets))

    def __len__(self) -> int:
        return (len(self.offsets) - 1) // 2

    def __getitem__(
        self, index: int
    ) -> tuple[Int[np.ndarray, " source_len"], Int[np.ndarray, " target_len"]]:
        """Source and target ids of one pair."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, middle, end = self.offsets[2 * index : 2 * index + 3]
        return self.tokens[start:middle].astype(np.int64), self.tokens[middle:end].astype(np.int64)

    def padded(
        self, sequences: Int[np.ndarray, " batch"], pad: int
    ) -> tuple[Int[np.ndarray, "batch len"], Bool[np.ndarray, "batch len"]]:
        """The sequences of these numbers as rows of equal length, and which positions are real.

        Pair i has its source at 2 i and its target at 2 i + 1.
        """
        starts = self.offsets[sequences]
        lengths = self.offsets[sequences + 1] - starts
        position = np.arange(lengths.max(initial=0))
        real = position < lengths[:, None]
        # One look-up for the whole batch. Padding reads token 0 there, and gets its own id after it.
        ids = self.tokens[np.where(real, starts[:, None] + position, 0)].astype(np.int64)
        ids[~real] = pad
        return ids, real

    def release(self) -> None:
        """Drop what was read from this process's memory; what is read again comes from the page cache.

        The system would take the pages back when it needs them, but until then a long training over a large
        corpus looks as if it needed all of them.
        """
        if hasattr(mmap.mmap, "madvise"):  # not on Windows
            for one in self._maps:
                one.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def source_lengths(self) -> Int[np.ndarray, " pairs"]:
        """Tokens of each source, `eos` included."""
        return (self.offsets[1::2] - self.offsets[:-1:2]).astype(np.int32)

    @cached_property
    def target_lengths(self) -> Int[np.ndarray, " pairs"]:
        """Tokens of each target, `eos` included."""
        return (self.offsets[2::2] - self.offsets[1::2]).astype(np.int32)


def _read_head(folder: Path) -> dict[str, Any]:
    try:
        head = stored.read_json(folder / _HEAD)
    except ValueError as error:
        raise ValueError(f"{_HEAD}: {error}") from None
    if not isinstance(head, dict) or not {"pairs", "pieces", "id_type"} <= head.keys():
        raise ValueError(f"{_HEAD} is not what was written")
    return head


def _flush(values: "array[int]", file: Any, dtype: np.dtype[Any]) -> None:
    file.write(np.asarray(values).astype(dtype).tobytes())
    del values[:]


def _mapped(
    path: Path, dtype: np.dtype[Any], length: int
) -> tuple[Int[np.ndarray, " length"] | UInt[np.ndarray, " length"], list[mmap.mmap]]:
    """The file as an array, and the map that it is a view of, if any. It must be exactly `length` long."""
    found = stored.check_regular(path)
    if found != length * dtype.itemsize:
        raise ValueError(f"{path.name} has {found:,} bytes, not {length * dtype.itemsize:,}")
    if length == 0:
        return np.zeros(0, dtype), []  # an empty file cannot be mapped
    with path.open("rb") as file:
        # Not np.memmap: `release` needs the map itself.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype), [mapped]
