"""Images from the user's files, made like those that a model was trained on."""

import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atonce.data.images import ImageShape
from atonce.disk import place
from atonce.errors import DataError, not_installed, unreadable
from atonce.shapes import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.Image import Transpose
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
"""Pillow knows some fifty more. Some start other programs (EPS: Ghostscript), and few are ever fuzzed."""
MOST_PIXELS = 25_000_000
"""Of a picture. A file of a few kilobytes can hold enough to fill the memory."""
MOST_BYTES = 250_000_000
"""Of a file: as much as so many pixels take that are not compressed."""
MOST_SCANS = 100
"""Of a JPEG, which are about ten: each goes over all pixels, and a megabyte has room for ten thousand."""

_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""Of a JPEG, but for those that may stand within a scan: 0xFF itself, and restarts."""
_MOST_SEGMENTS = 10_000
"""Of a JPEG, that are walked through: the longest profiles have some thousand."""
_GIVE = "give a PNG, JPEG, WebP or GIF file"
_STRIP = 1_000_000
"""Pixels that are laid on paper at a time."""


def read_image(path: Path, shape: ImageShape) -> UInt8[np.ndarray, "height width"]:
    """A picture file as grey pixels from 0 (paper) to 255 (ink), fitted into `shape` and centred.

    Paper is what most of the border is, so dark on light and light on dark are read alike, and what is
    transparent. A picture stands as its Exif orientation says; of one that moves, the first frame is read.
    Raises DataError if the file is missing, no picture (PNG, JPEG, WebP, GIF), broken or of too many pixels,
    or if pillow is not installed.
    """
    path = place(path, DataError, what="cannot read")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: no file has a zero byte in its name
        raise unreadable(path, error, fix="check the path and the file", kind=DataError) from None
    if len(content) > MOST_BYTES:
        raise DataError(f"{path} is too large", why=f"it has more than {MOST_BYTES:,} bytes", fix=_GIVE)
    with warnings.catch_warnings():  # what is wrong is said in the error, or does not matter
        warnings.simplefilter("ignore")
        return image_of(content, shape, name=str(path))


def image_of(content: bytes, shape: ImageShape, *, name: str) -> UInt8[np.ndarray, "height width"]:
    """As `read_image`, of the content of a picture file; `name`: what messages call it."""
    try:
        picture = opened(content, name=name)
        if picture.format == "PNG":  # its sums tell of damage, at which pillow does not look while it decodes
            opened(content, name=name).verify()
        grey = _grey(picture)
    except DataError:
        raise
    except Exception as error:  # what decoders raise for broken files is any of a dozen types
        raise _unreadable(name, error) from None
    pixels = np.asarray(grey)
    # The median and not the mean: strokes that touch the border leave it as it is.
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ink = 255 - pixels if np.median(border) > 127 else pixels
    return _fitted(ink, shape)


def size_of(content: bytes, *, name: str) -> tuple[int, int]:
    """How many pixels a picture file says that it has, and how many bytes it takes at most to read it.

    By the worst of each format, as measured: all coefficients of a JPEG, pixels with their opacity.
    Raises DataError as `image_of`; decodes nothing.
    """
    picture = opened(content, name=name)
    pixels = picture.width * picture.height
    if picture.format in ("JPEG", "MPO"):
        return pixels, (13 if picture.mode == "CMYK" else 11) * pixels
    return pixels, (18 if picture.format == "WEBP" else 10) * pixels + 17 * min(pixels, _STRIP)


def opened(content: bytes, *, name: str) -> "ImageFile":
    """The picture in a file, before its pixels are decoded: the only place where pictures are opened.

    Raises DataError for another format, no pixels, too many pixels or JPEG scans, or a broken head.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        why = "pictures are read by pillow, which is not installed"
        raise not_installed(f"{name} cannot be read", why, "vision", kind=DataError) from None
    if not content:
        raise DataError(f"{name} is no picture", why="it is empty", fix=_GIVE)
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise DataError(
            f"{name} is no picture",
            why="it is none of the formats that are read: PNG, JPEG, WebP, GIF",
            fix=_GIVE,
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # the latter where it is an error
        raise _too_large(name, f"more than {MOST_PIXELS:,}") from None
    except Exception as error:
        raise _unreadable(name, error) from None
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise _too_large(name, f"{width:,} × {height:,}")
    if width < 1 or height < 1:
        raise DataError(f"{name} is no picture", why=f"it has {width} × {height} pixels", fix=_GIVE)
    # MPO: a JPEG with others behind it, as cameras write them.
    if picture.format in ("JPEG", "MPO") and _scans(content) > MOST_SCANS:
        raise DataError(
            f"{name} takes too long to read",
            why=f"it is a JPEG of more than {MOST_SCANS} scans, each of which goes over all pixels",
            fix="save it again as a baseline JPEG, or as PNG",
        )
    return picture


def _scans(content: bytes) -> int:
    """How many scans a JPEG has: those that its decoder comes across, and not those of a thumbnail within a
    segment, or of what is appended. More where it has far too many segments. Stops at the first too many."""
    scans, at = 0, 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(content, at)
        if found is None or found[0][1] == _END or scans > MOST_SCANS:
            return scans
        at = found.end()
        if at > 2:  # else it is the beginning, which alone has no length
            scans += found[0][1] == _SCAN
            at += max(2, int.from_bytes(content[at : at + 2], "big"))
    # Nothing that a camera writes comes here: what is left is taken for the worst.
    return scans + content.count(b"\xff\xda", at)


def _too_large(name: str, pixels: str) -> DataError:
    return DataError(
        f"{name} is too large",
        why=f"it has {pixels} pixels, and {MOST_PIXELS:,} are read at most",
        fix="make it smaller: models look at some thousand pixels",
    )


def _unreadable(name: str, error: Exception) -> DataError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(f"{name} cannot be read", why=why, fix="check the file, and that it is whole")


def _grey(picture: "Picture") -> "Picture":
    """The picture in grey (Rec. 601), what is transparent white, and upright."""
    orientation = _orientation(picture)
    if picture.mode.startswith("I;16"):
        grey = _of_sixteen_bits(picture)
    elif picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        # Of a palette, colours have an opacity each; of other modes, one colour may be transparent.
        grey = _on_paper(picture.convert("RGBA" if picture.mode == "P" else "LA"))
    else:
        grey = (picture if picture.mode in ("1", "L", "P", "RGB") else picture.convert("RGB")).convert("L")
    return grey if orientation is None else grey.transpose(orientation)


def _of_sixteen_bits(picture: "Picture") -> "Picture":
    """A grey PNG of 16 bits: pillow would take all that is not nearly black for white."""
    from PIL import Image

    values = np.asarray(picture)
    grey = (values >> 8).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _on_paper(picture: "Picture") -> "Picture":
    """The picture on white, in strips: the whole of it would be in memory five times over."""
    from PIL import Image

    grey = Image.new("L", picture.size)
    rows = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(picture.height, top + rows)))
        strip = strip.convert("LA").convert("RGBA")
        paper = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        grey.paste(Image.alpha_composite(paper, strip).convert("L"), (0, top))
    return grey


def _orientation(picture: "Picture") -> "Transpose | None":
    """How the picture is to be turned, by its Exif; not at all where that is broken, as viewers have it."""
    from PIL.Image import Transpose

    try:
        given = int(picture.getexif().get(0x0112, 1))
    except Exception:
        return None
    return {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }.get(given)  # fmt: skip


def _fitted(ink: UInt8[np.ndarray, "rows columns"], shape: ImageShape) -> UInt8[np.ndarray, "height width"]:
    """As large as fits into `shape`, with paper around it."""
    from PIL import Image

    picture = Image.fromarray(ink)
    scale = min(shape.height / picture.height, shape.width / picture.width)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = np.asarray(picture if size == picture.size else picture.resize(size))
    fitted = np.zeros(shape, dtype=np.uint8)
    top, left = (shape.height - small.shape[0]) // 2, (shape.width - small.shape[1]) // 2
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small
    return fitted
