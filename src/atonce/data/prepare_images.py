"""From images to what a training reads: pixels and spelt targets, stored split by split."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from atonce.data.config import DataConfig, VocabularyConfig
from atonce.data.corpora.registry import open_images
from atonce.data.images import ImageCorpus, ImageExamples, ImagePair, Images, ImageShape
from atonce.data.io_spec import IOSpec
from atonce.data.labels import Labels
from atonce.data.tokenizer import Tokenizer
from atonce.progress import progress

Stored = tuple[ImageExamples, ImageExamples, list[ImagePair], list[ImagePair]]


def prepare_images(
    folder: Path, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None, *, quiet: bool
) -> dict[str, Any]:
    """Write labels or tokenizer, the size of the images, and the examples into `folder`. Returns the report.

    Raises DataError if the corpus is broken, and OSError where the disk does.
    """
    with progress("Reading the images", quiet=quiet):
        corpus = open_images(data, quiet=quiet)
    shape = ImageShape(*corpus.train.pixels.shape[1:])
    io_spec = IOSpec(shape, _target_end(corpus.train, data, vocabulary, tokenizer))
    io_spec.save(folder)
    splits = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    for name, images in splits.items():
        ImageExamples.write(folder / "examples" / name, images, lambda text: _spelt(text, io_spec.target))
    return _report(corpus, data, splits)


def stored_images(folder: Path, io_spec: IOSpec, *, trusted: bool) -> Stored:
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
    valid, test = (_pairs(opened[name], io_spec.target) for name in ("valid", "test"))
    return opened["train"], opened["valid"], valid, test


def _target_end(
    train: Images, data: DataConfig, vocabulary: VocabularyConfig, tokenizer: Tokenizer | None
) -> Tokenizer | Labels:
    if data.task == "classification":
        return Labels(dict.fromkeys(sorted(train.targets)))
    return tokenizer or Tokenizer.train(train.targets, vocabulary)


def _spelt(target: str, end: Tokenizer | Labels) -> list[int]:
    """The ids of a target: of a text with `eos` at its end, of a label alone."""
    return [end.number(target)] if isinstance(end, Labels) else [*end.encode(target), end.eos]


def _pairs(examples: ImageExamples, end: Tokenizer | Labels) -> list[ImagePair]:
    pairs = []
    for index, pixels in enumerate(examples.pixels):
        _, ids = examples.targets[index]
        target = end.names[ids[0]] if isinstance(end, Labels) else end.decode(ids.tolist())
        pairs.append(ImagePair(pixels, target))
    return pairs


def _report(corpus: ImageCorpus, data: DataConfig, splits: dict[str, Images]) -> dict[str, Any]:
    digest = sha256(corpus.train.pixels.tobytes())
    digest.update("\n".join(corpus.train.targets).encode())
    counts = {f"{name}_pairs": len(images.targets) for name, images in splits.items()}
    return {"about": corpus.about, "kind": data.kind, **counts, "training_sha256": digest.hexdigest()}
