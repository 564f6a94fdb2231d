import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.image_files import read_image
from atonce.data.images import ImageShape
from atonce.errors import DataError

INK = np.zeros((8, 8), dtype=np.uint8)
INK[2:6, 3:5] = 200


@pytest.mark.parametrize("name", ["ink.png", "ink.gif"])
def test_light_on_dark_and_dark_on_light_are_the_same(tmp_path: Path, name: str) -> None:
    Image.fromarray(INK).save(tmp_path / name)
    Image.fromarray(255 - INK).save(tmp_path / f"paper-{name}")
    for path in (tmp_path / name, tmp_path / f"paper-{name}"):
        assert np.array_equal(read_image(path, ImageShape(8, 8)), INK)


def test_what_is_transparent_is_paper(tmp_path: Path) -> None:
    Image.merge("LA", (Image.fromarray(np.zeros_like(INK)), Image.fromarray(INK))).save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png", ImageShape(8, 8)).astype(int) - INK).max() <= 1


def test_a_picture_is_fitted_and_centred(tmp_path: Path) -> None:
    Image.fromarray(np.kron(INK, np.ones((4, 4), np.uint8))).save(tmp_path / "large.png")
    read = read_image(tmp_path / "large.png", ImageShape(8, 20))
    assert read.shape == (8, 20)
    assert not read[:, :6].any()
    assert not read[:, 14:].any()
    assert np.abs(read[:, 6:14].astype(float) - INK).mean() < 20


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name, why in (("text.png", "is no picture"), ("none.png", "cannot read")):
        with pytest.raises(DataError, match=why):
            read_image(tmp_path / name, ImageShape(8, 8))


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(b"a picture")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install 'atonce\[vision\]'"):
        read_image(tmp_path / "x.png", ImageShape(8, 8))


def test_a_small_file_of_many_pixels_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "bomb.png")
    monkeypatch.setattr("atonce.data.image_files.MOST_PIXELS", 599)
    with pytest.raises(DataError, match="too large"):
        read_image(tmp_path / "bomb.png", ImageShape(8, 8))
