"""Handwritten digits, 8 × 8 pixels each: small enough to learn in seconds.

Those of the UCI repository (Alpaydin and Kaynak 1998, CC BY 4.0), from one file of 57 kB that scikit-learn
comes with. scikit-learn itself, which with scipy takes 192 MB, is not needed: where it is not installed, its
wheel is downloaded once (9 MB), and the file taken out of it.
"""

import gzip
import os
import zipfile
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pooch

from atonce.data.config import DigitsConfig
from atonce.data.corpora.wheels import check, downloaded, hash_of
from atonce.data.images import ImageCorpus, Images
from atonce.disk import replacing
from atonce.progress import progress
from atonce.shapes import Int, UInt8

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


def open_digits(config: DigitsConfig, *, quiet: bool = False) -> ImageCorpus:
    """The digits, split by hash. Raises DataError if they cannot be had."""
    images = read_digits(quiet=quiet)
    return cut_by_hash(images, valid_size=config.valid_size, test_size=config.test_size, about=ABOUT)


def read_digits(*, quiet: bool = False) -> Images:
    """All 1,797 of them. Raises DataError if they cannot be had."""
    with gzip.open(find_digits(quiet=quiet), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",").astype(int)
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
