import io
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from atonce.data import image_files
from atonce.data.image_files import image_of, read_image
from atonce.data.images import ImageShape
from atonce.errors import DataError
from atonce.shapes import UInt8

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


SHAPE = ImageShape(8, 8)
LARGE = np.kron(INK, np.ones((4, 4), np.uint8))


def of(picture: Image.Image, kind: str, **options: Any) -> UInt8[np.ndarray, "height width"]:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return image_of(file.getvalue(), SHAPE, name="it")


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "ICO", "TGA", "EPS", "PDF", "PCX", "DIB", "SGI"])
def test_other_formats_are_not_opened(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them start other programs."""
    file = io.BytesIO()
    Image.fromarray(INK).convert("RGB").save(file, kind)
    for start in ("subprocess.check_call", "subprocess.run", "subprocess.Popen"):
        monkeypatch.setattr(start, lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(DataError, match=r"(?s)PNG, JPEG, WebP, GIF"):
        image_of(file.getvalue(), SHAPE, name="it")


@pytest.mark.parametrize(
    "kind", ["PNG 1", "PNG L", "PNG LA", "PNG P", "PNG RGB", "PNG RGBA", "JPEG L", "JPEG RGB", "JPEG CMYK",
    "WEBP RGB", "WEBP RGBA", "GIF L", "GIF P"],
)  # fmt: skip
def test_a_picture_is_the_same_in_every_mode(kind: str) -> None:
    name, mode = kind.split()
    white = Image.fromarray(np.where(LARGE > 0, 0, 255).astype(np.uint8))
    found = of(white.convert(mode), name, **({"lossless": True} if name == "WEBP" else {"quality": 95}))
    assert np.abs(found.astype(int) - of(white, "PNG")).max() <= 12


def test_sixteen_bits_are_not_taken_for_eight() -> None:
    grey = np.linspace(0, 65_535, 64).reshape(8, 8).astype(np.uint16)
    eight = Image.fromarray((grey >> 8).astype(np.uint8))
    assert np.array_equal(of(Image.fromarray(grey), "PNG"), of(eight, "PNG"))
    transparent = grey.copy()
    transparent[grey == grey[3, 3]] = 65_535
    assert np.array_equal(
        of(Image.fromarray(grey), "PNG", transparency=int(grey[3, 3])),
        of(Image.fromarray(transparent), "PNG"),
    )


def test_a_colour_or_palette_that_is_transparent_is_paper() -> None:
    numbers = (INK > 0).astype(np.uint8)
    picture = Image.fromarray(numbers).convert("P")
    picture.putpalette([0, 0, 0, 0, 0, 0] + [9] * 762)  # black on black: the first is transparent
    for transparency in (0, bytes([0, 255])):
        assert np.array_equal(of(picture, "PNG", transparency=transparency), np.where(INK > 0, 255, 0))
    assert np.array_equal(of(picture, "GIF", transparency=0), np.where(INK > 0, 255, 0))
    colour = Image.merge("RGB", [Image.fromarray(np.where(INK > 0, 0, 7).astype(np.uint8))] * 3)
    assert np.array_equal(of(colour, "PNG", transparency=(7, 7, 7)), np.where(INK > 0, 255, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(kind: str, orientation: int) -> None:
    corner = np.full((32, 32), 255, np.uint8)
    corner[2:14, 4:8] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(corner).convert("RGB").save(file, kind, exif=exif)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    found, expected = image_of(file.getvalue(), SHAPE, name="it"), of(turned, "PNG", exif=b"")
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_of_one_that_moves_the_first_frame_is_read() -> None:
    first, others = Image.fromarray(INK), [Image.fromarray(INK.T)] * 2
    for kind in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        found = of(first, kind, save_all=True, append_images=others, **options)
        assert np.abs(found.astype(int) - INK).max() <= 1


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (1, 1), (3, 9_000)])
def test_long_and_narrow_pictures_are_read(size: tuple[int, int]) -> None:
    assert of(Image.new("L", size, 100), "PNG").shape == SHAPE


def test_broken_pictures_are_told() -> None:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "PNG", pnginfo=_text(100))
    content = file.getvalue()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for broken in (content[:40], content[:-100], bytes(flipped), b"", b"GIF89a"):
        with pytest.raises(DataError, match=r"no picture|cannot be read"):
            image_of(broken, SHAPE, name="it")
    file = io.BytesIO()
    Image.fromarray(INK).save(file, "PNG", pnginfo=_text(5_000_000))  # five kilobytes, packed
    with pytest.raises(DataError, match="cannot be read"):
        image_of(file.getvalue(), SHAPE, name="it")
    for empty in (b"\0\0\0\0\0\0\0\x08", b"\0\0\0\x08\0\0\0\0"):
        with pytest.raises(DataError):
            image_of(_with_size(content, empty), SHAPE, name="it")


def _text(characters: int) -> PngInfo:
    found = PngInfo()
    found.add_text("Comment", "a" * characters, zip=True)
    return found


def _with_size(png: bytes, size: bytes) -> bytes:
    head = b"IHDR" + size + png[24:29]
    return png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]


@pytest.mark.parametrize("side", [5_001, 11_000, 60_000, 2**31 - 1])
def test_many_pixels_are_refused_by_the_head_alone(side: int) -> None:
    """Also where pillow would warn of them, or raise an error of its own."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    many = _with_size(file.getvalue(), struct.pack(">II", side, side))
    began = time.monotonic()
    with pytest.raises(DataError, match=r"(?s)too large|cannot be read"):
        image_of(many, SHAPE, name="it")
    assert time.monotonic() - began < 1


def test_a_jpeg_of_many_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.effect_noise((64, 64), 50).convert("RGB")
    of(picture, "JPEG", progressive=True)
    monkeypatch.setattr("atonce.data.image_files.MOST_SCANS", 4)
    of(picture, "JPEG")
    with pytest.raises(DataError, match="scans"):
        of(picture, "JPEG", progressive=True)


def _jpeg(side: int = 64, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_in_or_behind_a_jpeg_and_looks_like_scans_is_none(progressive: bool) -> None:
    """A film of two seconds behind a photograph, a thumbnail within its head."""
    content, like_scans = _jpeg(progressive=progressive, restart_marker_rows=1), b"\xff\xda\0\2" * 500
    segment = b"\xff\xe1" + struct.pack(">H", len(like_scans) + 2) + like_scans
    expected = image_of(content, SHAPE, name="it")
    for more in (
        content + like_scans,
        content[:2] + segment + content[2:],
        content[:2] + b"\xff" + content[2:],
    ):
        assert np.array_equal(image_of(more, SHAPE, name="it"), expected)


def test_scans_are_counted_behind_restarts_and_whatever_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = _jpeg(progressive=True, restart_marker_rows=1)
    first = content.index(b"\xff\xda")
    monkeypatch.setattr("atonce.data.image_files.MOST_SCANS", 9)
    tiny_segments = b"\xff\xe5\0\2" * 20_000
    for between in (b"", b"junk\xff\0\xff\xff\xff\0", b"\xff\xd0", b"\xff\xff\xff", tiny_segments):
        with pytest.raises(DataError, match="more than 9 scans"):
            image_of(content[:first] + between + content[first:], SHAPE, name="it")


def test_a_large_jpeg_is_walked_through_at_once() -> None:
    content = _jpeg(8)
    for long in (b"\xff" * 20_000_000, b"\xff\xe5\0\2" * 2_500_000, b"\xff\0" * 10_000_000):
        began = time.monotonic()
        image_files._scans(content[:-2] + long + content[-2:])
        assert time.monotonic() - began < 2


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "long.png").write_bytes(b"a" * 2_000)
    monkeypatch.setattr("atonce.data.image_files.MOST_BYTES", 1_000)
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_image(tmp_path / "long.png", SHAPE)
    with pytest.raises(DataError, match="cannot read"):
        read_image(tmp_path / "a\0b", SHAPE)
    with pytest.raises(DataError, match="cannot read"):
        read_image(tmp_path, SHAPE)


def test_a_small_file_of_many_pixels_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "bomb.png")
    monkeypatch.setattr("atonce.data.image_files.MOST_PIXELS", 599)
    with pytest.raises(DataError, match="too large"):
        read_image(tmp_path / "bomb.png", ImageShape(8, 8))
