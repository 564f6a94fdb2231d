"""Rows of handwritten digits on one image, and the digits as text: reading, at the smallest size.

Composed of the 8 × 8 digits of `digits`. Those in a training image are never in a test image.
"""

import numpy as np

from atonce.data.config import DigitsConfig, DigitStringsConfig
from atonce.data.corpora.digits import open_digits
from atonce.data.images import ImageCorpus, Images
from atonce.shapes import UInt8

DIGIT = 8
"""Side of a digit in pixels."""
HEIGHT = 12
"""Of an image: digits stand at different heights."""
PITCH = 11
"""Columns that a digit takes at most, with the space after it."""
_ABOUT = "rows of {} to {} handwritten digits, composed of UCI's (CC BY 4.0, through scikit-learn)"


def open_digit_strings(config: DigitStringsConfig, *, quiet: bool = False) -> ImageCorpus:
    """As many images as `config` asks for, a pure function of its seed.

    Raises DataError if the digits cannot be had.
    """
    digits = open_digits(DigitsConfig(), quiet=quiet)
    counts = {"train": config.images, "valid": config.valid_size, "test": config.test_size}
    draws = np.random.default_rng(config.seed).spawn(len(counts))
    composed = {
        split: compose(getattr(digits, split), count, config.shortest, config.longest, draw)
        for (split, count), draw in zip(counts.items(), draws, strict=True)
    }
    return ImageCorpus(**composed, about=_ABOUT.format(config.shortest, config.longest))


def compose(digits: Images, count: int, shortest: int, longest: int, draw: np.random.Generator) -> Images:
    """Images of `shortest` to `longest` digits drawn from `digits`, from left to right with some space."""
    pixels = np.zeros((count, HEIGHT, PITCH * longest), dtype=np.uint8)
    targets = []
    for image in pixels:
        chosen = draw.integers(len(digits.targets), size=draw.integers(shortest, longest + 1))
        _place(image, digits.pixels[chosen], draw)
        targets.append("".join(digits.targets[one] for one in chosen))
    return Images(pixels, tuple(targets))


def _place(
    image: UInt8[np.ndarray, "height width"],
    digits: UInt8[np.ndarray, "digits size size"],
    draw: np.random.Generator,
) -> None:
    """Set the digits into the image, in order."""
    spaces = draw.integers(0, PITCH - DIGIT + 1, size=len(digits))
    taken = int(spaces.sum()) + DIGIT * len(digits)
    column = int(draw.integers(0, image.shape[1] - taken + 1))
    for digit, space in zip(digits, spaces.tolist(), strict=True):
        row = int(draw.integers(0, HEIGHT - DIGIT + 1))
        image[row : row + DIGIT, column : column + DIGIT] = digit
        column += DIGIT + space
