"""Images in requests: picture files in base64."""

import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus

import numpy as np

from atonce.data.image_files import image_of
from atonce.data.images import ImageShape
from atonce.decoding.classifier import Classifier
from atonce.serve.faults import Fault
from atonce.serve.served import Served
from atonce.shapes import UInt8


def decoded_images(contents: Sequence[str], shape: ImageShape) -> list[UInt8[np.ndarray, "height width"]]:
    """Picture files in base64 as the model reads them. Raises Fault for one that is none."""
    return [decoded_image(content, number, shape) for number, content in enumerate(contents, start=1)]


def decoded_image(content: str, number: int, shape: ImageShape) -> UInt8[np.ndarray, "height width"]:
    """A picture file in base64 as the model reads it. `number`: its place in the list, from 1.

    Raises Fault if it is none.
    """
    try:
        file = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Fault(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"image {number} is not base64",
            why="it has other signs than base64 has",
            fix="encode the bytes of a picture file in base64",
        ) from None
    return image_of(file, shape, name=f"image {number}")


def image_shape(served: Served) -> ImageShape | None:
    """What size of images it labels; None if it labels texts."""
    assert isinstance(served.system, Classifier)
    source = served.system.ends.source
    return source if isinstance(source, ImageShape) else None
