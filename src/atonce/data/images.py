"""Images to learn from: grey, all of one size, each with the text or the label that belongs to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atonce import stored
from atonce.data.pairs import PREPARE_AGAIN, Examples
from atonce.disk import write_json
from atonce.errors import damaged, reason
from atonce.shapes import Int, UInt8

_PIXELS, _TARGETS = "pixels.npy", "targets"
_MOST_PIXELS = 1 << 15


class ImageShape(NamedTuple):
    """Size of the images that a model reads, in pixels."""

    height: int
    width: int

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(path, self._asdict())

    @classmethod
    def open(cls, path: Path) -> "ImageShape":
        """What `save` wrote. Raises RunError if it is missing or damaged."""
        try:
            stored.check(path.parent, path.name)
            sides = stored.read_json(path)
            if not isinstance(sides, dict) or sides.keys() != set(cls._fields):
                raise ValueError("it does not hold a height and a width")
            if not all(type(pixels) is int and 0 < pixels <= _MOST_PIXELS for pixels in sides.values()):
                raise ValueError("its height and width are no numbers of pixels")
            return cls(**sides)
        except (OSError, ValueError) as error:
            raise damaged(path, error) from None


class ImagePair(NamedTuple):
    """An image and what a model is to make of it."""

    source: UInt8[np.ndarray, "height width"]
    """From 0 (paper) to 255 (ink)."""
    target: str


@dataclass(frozen=True)
class Images:
    """Images with their targets."""

    pixels: UInt8[np.ndarray, "images height width"]
    """From 0 (paper) to 255 (ink)."""
    targets: tuple[str, ...]

    def pairs(self) -> list[ImagePair]:
        """One by one."""
        return [ImagePair(*pair) for pair in zip(self.pixels, self.targets, strict=True)]


@dataclass(frozen=True)
class ImageCorpus:
    """Images, already split: what is tested on was never seen in training."""

    train: Images
    valid: Images
    test: Images
    about: str
    """One line: where the images come from, and under which licence."""


def cut_by_hash(images: Images, *, valid_size: int, test_size: int, about: str) -> ImageCorpus:
    """Split images by the hash of their pixels, so that the same image is never on two sides.

    A split gets at most its size and at most a tenth of the images.
    """
    # Equal images have equal hashes and stand together, so a cut that would part them moves on.
    order = _by_hash(images.pixels)
    most = len(order) // 10
    test = min(test_size, most)
    valid = test + min(valid_size, most)
    while test < valid and _same(images.pixels, order, test):
        test += 1
    while valid < len(order) and _same(images.pixels, order, valid):
        valid += 1
    parts = np.split(order, [test, valid])
    taken = [Images(images.pixels[part], tuple(images.targets[i] for i in part)) for part in parts]
    return ImageCorpus(train=taken[2], valid=taken[1], test=taken[0], about=about)


def _by_hash(pixels: UInt8[np.ndarray, "images height width"]) -> Int[np.ndarray, " images"]:
    """Indices in the order of 64-bit hashes: the same on every machine."""
    hashes = [int.from_bytes(blake2b(one.tobytes(), digest_size=8).digest(), "big") for one in pixels]
    return np.argsort(np.array(hashes, dtype=np.uint64), kind="stable")


def _same(
    pixels: UInt8[np.ndarray, "images height width"], order: Int[np.ndarray, " images"], place: int
) -> bool:
    """Whether a cut at `place` would part two equal images."""
    return bool(np.array_equal(pixels[order[place - 1]], pixels[order[place]]))


class ImageExamples:
    """Images on disk with their tokenised targets, read through the page cache."""

    def __init__(self, pixels: UInt8[np.ndarray, "images height width"], targets: Examples) -> None:
        """`targets`: pairs whose sources are empty."""
        self.pixels, self.targets = pixels, targets

    @classmethod
    def write(cls, folder: Path, images: Images, encode: Callable[[str], list[int]]) -> "ImageExamples":
        """Store images in a new folder, with targets as `encode` spells them, and open it.

        Raises OSError where the disk does.
        """
        folder.mkdir(parents=True)
        np.save(folder / _PIXELS, images.pixels)
        Examples.write(folder / _TARGETS, (([], encode(target)) for target in images.targets))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path, *, trusted: bool = True, ids: int | None = None) -> "ImageExamples":
        """Map what `write` wrote. Raises RunError if it is missing or damaged.

        `trusted`, `ids`: as `Examples.open` has them.
        """
        targets = Examples.open(folder / _TARGETS, trusted=trusted, ids=ids)
        try:
            stored.check_regular(folder / _PIXELS)
            # Objects, which would be unpickled, are refused by np.load itself.
            pixels = np.load(folder / _PIXELS, mmap_mode="r")
            if pixels.ndim != 3 or pixels.dtype != np.uint8 or len(pixels) != len(targets):
                raise ValueError(f"{_PIXELS} does not fit the targets")
        # The head is a Python literal, and a broken one raises what evaluating it does.
        except (OSError, ValueError, EOFError, TypeError, SyntaxError, OverflowError) as error:
            raise damaged(folder, f"{_PIXELS}: {reason(error)}", fix=PREPARE_AGAIN) from None
        return cls(pixels.view(np.ndarray), targets)

    def __len__(self) -> int:
        return len(self.pixels)

    def release(self) -> None:
        """As `Examples.release`. A corpus of images is small."""
        self.targets.release()

    @cached_property
    def source_lengths(self) -> Int[np.ndarray, " images"]:
        """Columns of each image."""
        # What `training.batch_tokens` counts of an image.
        return np.full(len(self), self.pixels.shape[2], dtype=np.int32)

    @property
    def target_lengths(self) -> Int[np.ndarray, " images"]:
        """Tokens of each target, `eos` included; 1 for a label."""
        return self.targets.target_lengths
