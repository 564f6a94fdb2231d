"""A grey image as ink: a picture that is transparent where the paper is, to be laid over colours."""

import base64
import io
import math

import numpy as np

from atonce.errors import RunError, not_installed
from atonce.shapes import UInt8

_ENLARGED = 16
"""Pixels of the picture for one of the image: browsers smooth what they enlarge, and only edges show it."""
_MOST_PIXELS = 4_000_000
"""Of the picture; an image of more is not enlarged."""


def ink_url(image: UInt8[np.ndarray, "height width"], colour: str) -> str:
    """A data: URL of a PNG in one `colour` (#rrggbb), as opaque as the image, from 0 (paper) to 255 (ink).

    Raises RunError if pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        why = "pictures are written by pillow, which is not installed"
        raise not_installed("cannot draw the image", why, "vision", kind=RunError) from None
    ink = Image.new("RGB", image.shape[::-1], colour)
    ink.putalpha(Image.fromarray(image))
    file = io.BytesIO()
    enlarged = min(_ENLARGED, max(1, math.isqrt(_MOST_PIXELS // max(1, image.size))))
    large = ink.resize([enlarged * side for side in ink.size], Image.Resampling.NEAREST)
    large.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
