"""A grey image as ink: a picture that is transparent where the paper is, to be laid over colours."""

import base64
import struct
import zlib

import numpy as np

from atonce.shapes import UInt8

_ENLARGED = 16
"""Pixels of the picture for one of the image: browsers smooth what they enlarge, and only edges show it."""


def ink_url(image: UInt8[np.ndarray, "height width"], colour: str) -> str:
    """A data: URL of a PNG in one `colour` (#rrggbb), as opaque as the image, from 0 (paper) to 255 (ink)."""
    large = image.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    pixels = np.empty((*large.shape, 4), dtype=np.uint8)
    pixels[..., :3] = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    pixels[..., 3] = large
    return "data:image/png;base64," + base64.b64encode(_png(pixels)).decode()


def _png(pixels: UInt8[np.ndarray, "height width 4"]) -> bytes:
    """The file format at its plainest (W3C, PNG, third edition): 8 bits, RGBA, no filters."""
    height, width, _ = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    unfiltered = np.zeros((height, 1 + 4 * width), dtype=np.uint8)  # each row begins with its filter: none
    unfiltered[:, 1:] = pixels.reshape(height, -1)
    chunks = {b"IHDR": head, b"IDAT": zlib.compress(unfiltered.tobytes(), 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
