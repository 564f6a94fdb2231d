"""From a corpus to what a training reads, whole or not at all."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atonce.data import ends
from atonce.data.config import DataConfig, VocabularyConfig
from atonce.data.corpora import Pair
from atonce.data.ends import Ends
from atonce.data.examples import Examples
from atonce.data.images import ImageExamples, ImagePair
from atonce.data.left_out import summary
from atonce.data.prepare_images import prepare_images, stored_images
from atonce.data.prepare_pairs import prepare_pairs, stored_pairs
from atonce.data.tokenizer import Tokenizer
from atonce.disk import place, scratch
from atonce.errors import DiskError, RunError
from atonce.progress import say

_REPORT = "data.json"  # put in its place last: where it is, the rest is whole
_PARTS = (*ends.FILES, "examples", _REPORT)


@dataclass(frozen=True)
class Prepared:
    """A corpus ready to train on."""

    ends: Ends
    train: Examples | ImageExamples
    valid: Examples | ImageExamples
    """Example i is `valid_pairs[i]`."""
    valid_pairs: list[Pair] | list[ImagePair]
    test_pairs: list[Pair] | list[ImagePair]
    report: dict[str, Any]
    """What `data.json` says: where the pairs are from, how many went where, a hash of the training data."""

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the end which is text."""
        return self.ends.tokenizer


def prepare(
    data: DataConfig,
    vocabulary: VocabularyConfig,
    folder: Path,
    *,
    tokenizer: Tokenizer | None = None,
    quiet: bool = False,
) -> Prepared:
    """Read, split, tokenise and store a corpus in `folder`, which may hold other things beside.

    Pieces are learned from the training pairs, unless a `tokenizer` is given. What was left out, and why, is
    told on stderr, unless `quiet`, and stands in the report. Nothing in `folder`
    changes before all is done. Raises DataError if the corpus is broken, empty or too small to split, and
    DiskError if the disk is full or not writable.
    """
    prepare_in = prepare_images if data.reads_images else prepare_pairs
    try:
        with scratch(place(folder) / _REPORT) as unfinished:
            report = prepare_in(unfinished, data, vocabulary, tokenizer, quiet=quiet)
            text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
            (unfinished / _REPORT).write_text(text, encoding="utf-8")
            _put_in_place(unfinished, folder)
            if not quiet:
                say(*summary(report))
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
        opened = Ends.open(folder)
        if isinstance(opened.source, Tokenizer):
            return Prepared(opened, *stored_pairs(folder), report)
        return Prepared(opened, *stored_images(folder, opened), report)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"the prepared data in {folder} are not whole",
            why=f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error),
            fix="prepare them again: start the training anew in a fresh folder",
        ) from None


def remove_prepared(folder: Path) -> None:
    """Remove what `prepare` put there, as if it had failed."""
    for part in _PARTS:
        (folder / part).unlink(missing_ok=True) if part != "examples" else None
    shutil.rmtree(folder / "examples", ignore_errors=True)


def _put_in_place(unfinished: Path, folder: Path) -> None:
    (folder / _REPORT).unlink(missing_ok=True)
    shutil.rmtree(folder / "examples", ignore_errors=True)
    for part in _PARTS:
        if (unfinished / part).exists():
            os.replace(unfinished / part, folder / part)
