"""Handwritten digits, 8 × 8 pixels each: small enough to learn in seconds.

Those of the UCI repository (Alpaydin and Kaynak 1998, CC BY 4.0), from one file of 57 kB that scikit-learn
comes with. scikit-learn itself, which with scipy takes 192 MB, is not needed: where it is not installed, its
wheel is downloaded once (9 MB), and the file taken out of it.
"""

import gzip
import os
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pooch

from atonce.data.config import DigitsConfig, DigitStringsConfig
from atonce.data.corpora.wheels import check, downloaded, hash_of
from atonce.data.images import ImageCorpus, Images, cut_by_hash
from atonce.disk import replacing
from atonce.progress import progress
from atonce.shapes import UInt8

FILE = "digits.csv.gz"
SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
REQUIREMENT = "scikit-learn==1.8.0"
WHEEL = "scikit_learn-1.8.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
WHEEL_SHA256 = "ada8121bcb4dac28d930febc791a69f7cb1673c8495e5eee274190b73a4559c1"
_MEMBER = f"sklearn/datasets/data/{FILE}"
# The same wheel for all: whatever runs here, nothing of it does.
_PIP_OPTIONS = (
    "--platform", "manylinux_2_27_x86_64", "--platform", "manylinux_2_28_x86_64",
    "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
)  # fmt: skip

ABOUT = "handwritten digits of 8 × 8 pixels (UCI, CC BY 4.0, through scikit-learn)"

DIGIT = 8
"""Side of a digit in pixels."""
HEIGHT = 12
"""Of an image: digits stand at different heights."""
PITCH = 11
"""Columns that a digit takes at most, with the space after it."""
_ABOUT_STRINGS = "rows of {} to {} handwritten digits, composed of UCI's (CC BY 4.0, through scikit-learn)"


def open_digits(config: DigitsConfig, *, quiet: bool = False) -> ImageCorpus:
    """The digits, split by hash. Raises DataError if they cannot be had."""
    images = read_digits(quiet=quiet)
    return cut_by_hash(images, valid_size=config.valid_size, test_size=config.test_size, about=ABOUT)


def read_digits(*, quiet: bool = False) -> Images:
    """All 1,797 of them. Raises DataError if they cannot be had."""
    with gzip.open(find_digits(quiet=quiet), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",").astype(int)
    # UCI counted the black dots in squares of 4 × 4: 0 to 16.
    pixels = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Images(pixels, tuple(map(str, table[:, -1].tolist())))


def find_digits(*, quiet: bool = False) -> Path:
    """The checked file: in $ATONCE_DATA, in the cache, in scikit-learn if that is installed, or downloaded.

    Raises DataError.
    """
    if (folder := os.environ.get("ATONCE_DATA")) and (given := Path(folder) / FILE).is_file():
        check(given, SHA256, fix="replace it, or delete it: then it is downloaded")
        return given
    cached = Path(pooch.os_cache("atonce")) / FILE
    # A wrong file is passed over here, but told above, where the user has put it.
    for path in (cached, _of_scikit_learn()):
        if path is not None and path.is_file() and hash_of(path) == SHA256:
            return path
    with progress("Downloading the handwritten digits (9 MB, once)", quiet=quiet):
        _download(cached)
    return cached


def _of_scikit_learn() -> Path | None:
    """The file in the package, which is not imported."""
    found = find_spec("sklearn")
    return None if found is None or found.origin is None else Path(found.origin).parents[1] / _MEMBER


def _download(cached: Path) -> None:
    with (
        downloaded(
            REQUIREMENT,
            WHEEL,
            WHEEL_SHA256,
            options=_PIP_OPTIONS,
            beside=cached,
            what=f"the handwritten digits (in {REQUIREMENT})",
            otherwise=f"put {FILE} of any scikit-learn (sklearn/datasets/data) into $ATONCE_DATA, or "
            "work offline: --recipe dates",
            again="try again later",
        ) as wheel,
        zipfile.ZipFile(wheel) as archive,
        replacing(cached) as partial,
    ):
        partial.write_bytes(archive.read(_MEMBER))
        check(partial, SHA256, fix="try again later")


def open_digit_strings(config: DigitStringsConfig, *, quiet: bool = False) -> ImageCorpus:
    """As many images as `config` asks for, a pure function of its seed.

    Raises DataError if the digits cannot be had.
    """
    digits = open_digits(DigitsConfig(), quiet=quiet)
    counts = {"train": config.images, "valid": config.valid_size, "test": config.test_size}
    # A generator for each split: more training images leave those of the test as they are.
    draws = np.random.default_rng(config.seed).spawn(len(counts))
    composed = {
        split: compose(getattr(digits, split), count, config.shortest, config.longest, draw)
        for (split, count), draw in zip(counts.items(), draws, strict=True)
    }
    return ImageCorpus(**composed, about=_ABOUT_STRINGS.format(config.shortest, config.longest))


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
