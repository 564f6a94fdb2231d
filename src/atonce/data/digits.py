"""Handwritten digits, 8 × 8 pixels each: small enough to learn in seconds.

From scikit-learn, which has them from the UCI repository (Alpaydin and Kaynak 1998, CC BY 4.0).
"""

from hashlib import blake2b

import numpy as np

from atonce.data.config import DigitsConfig
from atonce.data.images import ImageCorpus, Images
from atonce.errors import DataError
from atonce.shapes import Int, UInt8

ABOUT = "handwritten digits of 8 × 8 pixels (UCI, CC BY 4.0, through scikit-learn)"


def open_digits(config: DigitsConfig) -> ImageCorpus:
    """The digits, split by hash. Raises DataError if scikit-learn is not installed."""
    return cut_by_hash(read_digits(), valid_size=config.valid_size, test_size=config.test_size, about=ABOUT)


def read_digits() -> Images:
    """All 1,797 of them. Raises DataError if scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            "the digits cannot be read",
            why="they come with scikit-learn, which is not installed",
            fix="pip install 'atonce[vision]'",
        ) from None
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Images(pixels, tuple(map(str, digits.target.tolist())))


def cut_by_hash(images: Images, *, valid_size: int, test_size: int, about: str) -> ImageCorpus:
    """Split images by the hash of their pixels, so that the same image is never on two sides.

    A split gets at most its size and at most a tenth of the images.
    """
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
