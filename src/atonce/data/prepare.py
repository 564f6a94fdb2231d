"""From a corpus to what a training reads, whole or not at all; `prepare_pairs` does it for texts."""

import json
import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from atonce import stored
from atonce.data import io_spec
from atonce.data.config import DataConfig, Repeats, VocabularyConfig
from atonce.data.corpora.registry import open_images
from atonce.data.images import ImageCorpus, ImageExamples, ImagePair, Images, ImageShape
from atonce.data.io_spec import IOSpec, Labels
from atonce.data.left_out import summary
from atonce.data.pairs import Examples, Pair
from atonce.data.prepare_pairs import prepare_pairs, stored_pairs
from atonce.data.tokenizer import Tokenizer
from atonce.disk import place, scratch
from atonce.errors import DiskError, RunError, reason
from atonce.progress import progress, say

_REPORT = "data.json"  # put in its place last: where it is, the rest is whole
_PARTS = (*io_spec.FILES, "examples", _REPORT)


@dataclass(frozen=True)
class Prepared:
    """A corpus ready to train on."""

    io_spec: IOSpec
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
        return self.io_spec.tokenizer


def prepare(
    data: DataConfig,
    vocabulary: VocabularyConfig,
    folder: Path,
    *,
    tokenizer: Tokenizer | None = None,
    quiet: bool = False,
) -> Prepared:
    """Read, split, tokenise and store a corpus in `folder`, which may hold other things beside.

    Tokens are learned from the training pairs, unless a `tokenizer` is given. What was left out, and why, is
    told on stderr, unless `quiet`, and stands in the report. Nothing in `folder` changes before all is done.
    Raises DataError if the corpus is broken, empty or too small to split, and DiskError if the disk is full
    or not writable.
    """
    prepare_in = _prepare_images if data.reads_images else prepare_pairs
    try:
        with scratch(place(folder) / _REPORT) as unfinished:
            report = prepare_in(unfinished, data, vocabulary, tokenizer, quiet=quiet)
            text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
            (unfinished / _REPORT).write_text(text, encoding="utf-8")
            # Until `settle`, a file may have its old sum or the new one: a kill in between damages nothing.
            sums = stored.sums_below(unfinished)
            stored.expect(folder, sums)
            _put_in_place(unfinished, folder)
            stored.settle(folder, sums)
            if not quiet:
                say(*summary(report))
    except OSError as error:
        raise DiskError(
            f"cannot write the prepared data to {folder}",
            why=reason(error),
            fix="free some space, or choose another folder; what was there before is still there",
        ) from None
    return open_prepared(folder)


def open_prepared(folder: Path, *, to_train: bool = True) -> Prepared:
    """Open what `prepare` wrote. Raises RunError if a part is missing or damaged.

    Without `to_train`, what only a training reads is not compared with its sums: that takes 2 seconds a GB.
    """
    try:
        report = _read_report(folder)
        _check_report(report)
        opened = IOSpec.open(folder)
        # With their sums, files are what was written, and ids need not be looked at one by one.
        trusted = _have_sums(folder, to_train=to_train)
        if isinstance(opened.source, Tokenizer):
            prepared = Prepared(opened, *stored_pairs(folder, opened, trusted=trusted), report)
        else:
            prepared = Prepared(opened, *_stored_images(folder, opened, trusted=trusted), report)
        _check_counts(prepared)
        return prepared
    except (OSError, ValueError, TypeError, KeyError) as error:
        of = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise RunError(
            f"the prepared data in {folder} are not whole",
            why=f"{of}{reason(error)}",
            fix="prepare them again: start the training anew in a fresh folder",
        ) from None


def remove_prepared(folder: Path) -> None:
    """Remove what `prepare` put there, as if it had failed."""
    for name in (*io_spec.FILES, _REPORT):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "examples", ignore_errors=True)


def is_prepared(folder: Path) -> bool:
    """Whether a folder has the examples that `prepare` writes, whole or not. A run may be of use without."""
    return os.path.lexists(folder / "examples")


def _have_sums(folder: Path, *, to_train: bool) -> bool:
    """Whether there are sums, and all have theirs; without `to_train`, but for what only a training reads."""
    names = [_REPORT, *stored.names(folder, "examples/")]
    if not to_train:
        names = [name for name in names if not name.startswith("examples/train/")]
    # A list: where one has no sum, the others are looked at all the same.
    return all([stored.check(folder, name) for name in names]) and len(names) > 1


def _read_report(folder: Path) -> Any:
    try:
        return stored.read_json(folder / _REPORT)
    except ValueError as error:
        raise ValueError(f"{_REPORT}: {error}") from None


def _check_report(report: Any) -> None:
    """Raises ValueError for what is no report."""
    if not isinstance(report, dict):
        raise ValueError(f"{_REPORT} is no JSON object")
    for name, value in report.items():
        if name in ("notes", "warnings"):
            fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        elif name in ("about", "kind", "training_sha256", "normalization", "repeats"):
            fits = isinstance(value, str)
        elif name.startswith("pairs_") or name.endswith(("_pairs", "_pieces", "_cut", "_respelt", "_size")):
            fits = type(value) is int and value >= 0
        else:
            fits = True  # of an older version
        if not fits:
            raise ValueError(f"{name} is {value!r:.40} in {_REPORT}")
    if report.get("repeats", "both") not in get_args(Repeats):
        raise ValueError(f"repeats is {report['repeats']!r:.40} in {_REPORT}")
    for name in ("about", "train_pairs"):
        if name not in report:
            raise ValueError(f"{_REPORT} has no {name}")


def _check_counts(prepared: Prepared) -> None:
    """Raises ValueError where there are other numbers of examples than the report has."""
    for name, found in (
        ("train", prepared.train),
        ("valid", prepared.valid),
        ("valid", prepared.valid_pairs),
        ("test", prepared.test_pairs),
    ):
        said = prepared.report.get(f"{name}_pairs", len(found))
        if len(found) != said:
            raise ValueError(f"there are {len(found):,} {name} examples, and {said:,} in {_REPORT}")


def _put_in_place(unfinished: Path, folder: Path) -> None:
    (folder / _REPORT).unlink(missing_ok=True)
    shutil.rmtree(folder / "examples", ignore_errors=True)
    for part in _PARTS:
        if (unfinished / part).exists():
            os.replace(unfinished / part, folder / part)


_StoredImages = tuple[ImageExamples, ImageExamples, list[ImagePair], list[ImagePair]]


def _prepare_images(
    folder: Path, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None, *, quiet: bool
) -> dict[str, Any]:
    """Write labels or tokenizer, the size of the images, and the examples into `folder`. Returns the report.

    Raises DataError if the corpus is broken, and OSError where the disk does.
    """
    with progress("Reading the images", quiet=quiet):
        corpus = open_images(data, quiet=quiet)
    # All images of a corpus are of one size: it is that of the array.
    shape = ImageShape(*corpus.train.pixels.shape[1:])
    io_spec = IOSpec(shape, _target_end(corpus.train, data, vocabulary, tokenizer))
    io_spec.save(folder)
    splits = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    for name, images in splits.items():
        ImageExamples.write(folder / "examples" / name, images, lambda text: _spelt(text, io_spec.target))
    return _images_report(corpus, data, splits)


def _stored_images(folder: Path, io_spec: IOSpec, *, trusted: bool) -> _StoredImages:
    """Training and validation examples, and the pairs of validation and test, as they were stored.

    `trusted`: they have their sums. Raises RunError, or ValueError where images are of another size.
    """
    ids = len(io_spec.target) if isinstance(io_spec.target, Labels) else io_spec.target.size
    opened = {
        name: ImageExamples.open(folder / "examples" / name, trusted=trusted, ids=ids)
        for name in ("train", "valid", "test")
    }
    for name, images in opened.items():
        if images.pixels.shape[1:] != io_spec.source:
            raise ValueError(f"examples/{name} has images of another size than image.json says")
    valid, test = (_image_pairs(opened[name], io_spec.target) for name in ("valid", "test"))
    return opened["train"], opened["valid"], valid, test


def _target_end(
    train: Images, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None
) -> Tokenizer | Labels:
    if data.task == "classification":
        # Sorted: a label's number, which the weights know it by, must not depend on which image came first.
        return Labels(dict.fromkeys(sorted(train.targets)))
    return tokenizer or Tokenizer.train(train.targets, vocabulary)


def _spelt(target: str, end: Tokenizer | Labels) -> list[int]:
    """The ids of a target: of a text with `eos` at its end, of a label alone."""
    return [end.number(target)] if isinstance(end, Labels) else [*end.encode(target), end.eos]


def _image_pairs(examples: ImageExamples, end: Tokenizer | Labels) -> list[ImagePair]:
    pairs = []
    for index, pixels in enumerate(examples.pixels):
        _, ids = examples.targets[index]
        target = end.names[ids[0]] if isinstance(end, Labels) else end.decode(ids.tolist())
        pairs.append(ImagePair(pixels, target))
    return pairs


def _images_report(corpus: ImageCorpus, data: DataConfig, splits: dict[str, Images]) -> dict[str, Any]:
    # Of the training data alone: two runs that have the same sum have learned from the same.
    digest = sha256(corpus.train.pixels.tobytes())
    digest.update("\n".join(corpus.train.targets).encode())
    counts = {f"{name}_pairs": len(images.targets) for name, images in splits.items()}
    return {"about": corpus.about, "kind": data.kind, **counts, "training_sha256": digest.hexdigest()}
