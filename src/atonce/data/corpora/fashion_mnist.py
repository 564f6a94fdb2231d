"""Fashion-MNIST: 70,000 articles of clothing, 28 × 28 pixels each, of ten kinds (Xiao 2017, MIT).

Taken from `$ATONCE_DATA/fashion-mnist`, or downloaded once.
"""

import gzip
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pooch

from atonce.data.config import FashionMnistConfig
from atonce.data.images import ImageCorpus, Images, cut_by_hash
from atonce.disk import replacing, sweep_beside
from atonce.errors import DataError, download_failed
from atonce.progress import progress
from atonce.shapes import UInt8

URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
SHA256 = {
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
"""Of the files unpacked: gzip writes a different file each time."""
KINDS = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
"""In the order of their numbers."""


def open_fashion_mnist(config: FashionMnistConfig, *, quiet: bool = False) -> ImageCorpus:
    """The images; validation is cut off the training images by hash.

    Raises DataError if a download fails or a file is broken.
    """
    # Test images are those of its authors, so that accuracies can be compared with what others publish.
    test = _read("t10k", quiet=quiet)
    cut = cut_by_hash(
        _read("train", quiet=quiet), valid_size=config.valid_size, test_size=0,
        about="Fashion-MNIST, articles of clothing of 28 × 28 pixels (Zalando, MIT)",
    )  # fmt: skip
    return ImageCorpus(train=cut.train, valid=cut.valid, test=test, about=cut.about)


def _read(part: str, *, quiet: bool) -> Images:
    pixels, kinds = (
        idx(_unpacked(f"{part}-{what}.gz", quiet=quiet), name=f"{part}-{what}")
        for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    return Images(pixels, tuple(KINDS[kind] for kind in kinds.tolist()))


def idx(content: bytes, *, name: str) -> UInt8[np.ndarray, "..."]:
    """The array in a file of LeCun's IDX format.

    That is: two zeros, the type (8: bytes), the number of axes, the length of each, the values. Raises
    DataError if it is not one.
    """
    axes = content[3] if content[:3] == b"\0\0\x08" else 0
    head, values = content[4 : 4 + 4 * axes], np.frombuffer(content[4 + 4 * axes :], dtype=np.uint8)
    lengths = np.frombuffer(head, dtype=">u4").astype(int) if len(head) == 4 * axes else np.zeros(0, int)
    if len(lengths) == 0 or len(values) != lengths.prod():
        raise DataError(
            f"{name} is broken",
            why="it is no IDX file of bytes, or not whole",
            fix="delete it: then it is downloaded again",
        )
    return values.reshape(lengths)


def _unpacked(name: str, *, quiet: bool) -> bytes:
    path = _find(name, quiet=quiet)
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path} is broken", why=str(error), fix="delete it: then it is downloaded again"
        ) from None
    if (found := sha256(content).hexdigest()) != SHA256[name]:
        raise DataError(
            f"{path} is not the file it should be",
            why=f"unpacked, its SHA-256 is {found}, not {SHA256[name]}",
            fix="delete it: then it is downloaded again",
        )
    return content


def _find(name: str, *, quiet: bool) -> Path:
    """The file in $ATONCE_DATA or in the cache, or downloaded to the cache."""
    if (folder := os.environ.get("ATONCE_DATA")) and (
        given := Path(folder) / "fashion-mnist" / name
    ).is_file():
        return given
    pooch.get_logger().setLevel("WARNING")  # or it tells of every download, and of hashes, on stderr
    cache = Path(pooch.os_cache("atonce")) / "fashion-mnist"
    sweep_beside(cache / name)
    if (cache / name).is_file():
        return cache / name
    with progress(f"Downloading {name} (once)", quiet=quiet), replacing(cache / name) as partial:
        _download(name, partial.parent)
    return cache / name


def _download(name: str, folder: Path) -> None:
    try:
        # No hash here: `_unpacked` compares what is inside.
        pooch.retrieve(f"{URL}/{name}", known_hash=None, path=folder, fname=name)
    except Exception as error:  # pooch passes on whatever its downloader raises
        otherwise = ", or put the file into the folder fashion-mnist of $ATONCE_DATA"
        raise download_failed(f"{URL}/{name}", error, otherwise=otherwise) from None
