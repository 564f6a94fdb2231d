"""Images from the user's files, made like those that a model was trained on."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atonce.data.images import ImageShape
from atonce.disk import place
from atonce.errors import DataError
from atonce.shapes import UInt8

MOST_PIXELS = 25_000_000
"""Of a picture. A file of a few kilobytes can hold enough to fill the memory."""

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def read_image(path: Path, shape: ImageShape) -> UInt8[np.ndarray, "height width"]:
    """A picture file as grey pixels from 0 (paper) to 255 (ink), fitted into `shape` and centred.

    Paper is what most of the border is, so dark on light and light on dark are read alike. Raises DataError
    if the file is missing or no picture, or if pillow is not installed.
    """
    path = place(path, DataError, what="cannot read")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}", why=error.strerror or str(error), fix="check the path and the file"
        ) from None
    return image_of(content, shape, name=str(path))


def image_of(content: bytes, shape: ImageShape, *, name: str) -> UInt8[np.ndarray, "height width"]:
    """As `read_image`, of the content of a picture file; `name`: what messages call it."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise DataError(
            f"{name} cannot be read",
            why="pictures are read by pillow, which is not installed",
            fix="pip install 'atonce[vision]'",
        ) from None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(
                    f"{name} is too large",
                    why=f"it has {picture.width:,} × {picture.height:,} pixels",
                    fix=f"make it smaller: the model sees {shape.width} × {shape.height}",
                )
            grey = picture.convert("LA")
    except UnidentifiedImageError:
        raise DataError(
            f"{name} is no picture", why="its format is unknown", fix="give a PNG, JPEG, WebP or GIF file"
        ) from None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{name} cannot be read", why=str(error), fix="check the file, and that it is whole"
        ) from None
    white = Image.new("LA", grey.size, (255, 255))  # what is transparent is paper
    opaque = Image.alpha_composite(white.convert("RGBA"), grey.convert("RGBA")).convert("L")
    pixels = np.asarray(opaque)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ink = 255 - pixels if np.median(border) > 127 else pixels
    return _fitted(Image.fromarray(ink), shape)


def _fitted(picture: "Picture", shape: ImageShape) -> UInt8[np.ndarray, "height width"]:
    """As large as fits into `shape`, with paper around it."""
    scale = min(shape.height / picture.height, shape.width / picture.width)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = np.asarray(picture if size == picture.size else picture.resize(size))
    fitted = np.zeros(shape, dtype=np.uint8)
    top, left = (shape.height - small.shape[0]) // 2, (shape.width - small.shape[1]) // 2
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small
    return fitted
