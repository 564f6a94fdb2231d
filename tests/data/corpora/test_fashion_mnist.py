"""On made-up files; the real ones are 30 MB."""

import gzip
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from atonce.data.config import FashionMnistConfig
from atonce.data.corpora import fashion_mnist
from atonce.data.corpora.fashion_mnist import KINDS, idx, open_fashion_mnist
from atonce.errors import DataError


def as_idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">u4").tobytes()
    return head + values.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of 40 and 10 images, with their own hashes."""
    draw = np.random.default_rng(0)
    place = tmp_path / "data" / "fashion-mnist"
    place.mkdir(parents=True)
    hashes = {}
    for part, count in (("train", 40), ("t10k", 10)):
        contents = {
            f"{part}-images-idx3-ubyte.gz": as_idx(draw.integers(0, 256, (count, 28, 28))),
            f"{part}-labels-idx1-ubyte.gz": as_idx(np.arange(count) % 10),
        }
        for name, content in contents.items():
            (place / name).write_bytes(gzip.compress(content))
            hashes[name] = sha256(content).hexdigest()
    monkeypatch.setattr(fashion_mnist, "SHA256", hashes)
    monkeypatch.setenv("ATONCE_DATA", str(place.parent))
    return place


def test_images_come_with_the_names_of_their_kinds(folder: Path) -> None:
    corpus = open_fashion_mnist(FashionMnistConfig())
    assert [len(side.targets) for side in (corpus.train, corpus.valid, corpus.test)] == [36, 4, 10]
    assert corpus.test.pixels.shape == (10, 28, 28)
    assert corpus.test.targets == KINDS


def test_a_file_that_is_not_the_known_one_is_refused(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(as_idx(np.zeros((10, 28, 28)))))
    with pytest.raises(DataError, match="is not the file it should be"):
        open_fashion_mnist(FashionMnistConfig())
    path.write_bytes(b"no gzip")
    with pytest.raises(DataError, match="is broken"):
        open_fashion_mnist(FashionMnistConfig())


def test_a_failed_download_says_what_else_there_is(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("pooch.retrieve", refuse)
    with pytest.raises(DataError, match=r"no route to host(.|\n)*ATONCE_DATA"):
        open_fashion_mnist(FashionMnistConfig())


def test_what_is_in_the_cache_is_not_downloaded(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    folder.rename(cache / "fashion-mnist")
    assert len(open_fashion_mnist(FashionMnistConfig()).test.targets) == 10


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x09\x01\0\0\0\1\1", b"\0\0\x08\x01\0\0\0\5\1", b"\0\0\x08\x03\0"]
)
def test_what_is_no_idx_file_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match="x is broken"):
        idx(content, name="x")


def test_an_idx_file_is_an_array() -> None:
    values = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(idx(as_idx(values), name="x"), values)
