"""Images in requests: picture files in base64."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Event

import numpy as np

from atonce.data.image_files import image_of, size_of
from atonce.data.images import ImageShape
from atonce.decoding.classifier import Classifier
from atonce.serve.costs import MB
from atonce.serve.faults import Fault
from atonce.serve.limits import Limits
from atonce.serve.served import Served
from atonce.shapes import UInt8

SMALL = 250_000
"""Pixels of a request, up to which it does not wait for the large pictures of others: 7 MB on each thread."""
_SIGNS = str.maketrans("-_", "+/", " \t\r\n")


class Pictures:
    """Reads pictures aside of the event loop: small ones as they come, large ones a request at a time.

    So no more than one large picture is in memory, decoded.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._large = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    async def images(
        self, contents: Sequence[str], shape: ImageShape
    ) -> list[UInt8[np.ndarray, "height width"]]:
        """Picture files in base64 as the model reads them. If it is cancelled it stops at the next picture.

        Raises Fault for too many, or too many pixels in all; Fault or DataError for one that cannot be read.
        """
        most = self._limits.texts_of_a_request
        if len(contents) > most:
            raise _refused(
                f"there are {len(contents):,} images", f"a request may have {most:,}", "send them in several"
            )
        loop, stopped = asyncio.get_running_loop(), Event()
        try:
            files, pixels = await loop.run_in_executor(None, self._files, contents, stopped)
            thread = self._large if pixels > SMALL else None
            return await loop.run_in_executor(thread, _images, files, shape, stopped)
        finally:
            stopped.set()

    def _files(self, contents: Sequence[str], stopped: Event) -> tuple[list[bytes], int]:
        """The files, and how many pixels they have in all, as their heads say."""
        files: list[bytes] = []
        pixels = 0
        for number, content in enumerate(contents, start=1):
            if stopped.is_set():
                break
            files.append(_file(content, number))
            more, needed = size_of(files[-1], name=f"image {number}")
            pixels += more
            if pixels > self._limits.pixels:
                raise _refused(
                    f"the images up to number {number} have {pixels:,} pixels",
                    f"those of a request may have {self._limits.pixels:,} in all",
                    "make them smaller, or send them in several requests",
                )
            if needed > self._limits.memory * MB:
                raise _refused(
                    f"image {number} would take about {needed / MB:,.0f} MB",
                    f"a request may take {self._limits.memory:,} MB here (--max-memory)",
                    "make it smaller: models look at some thousand pixels",
                )
        return files, pixels


def _images(
    files: Sequence[bytes], shape: ImageShape, stopped: Event
) -> list[UInt8[np.ndarray, "height width"]]:
    return [
        image_of(file, shape, name=f"image {number}")
        for number, file in enumerate(files, start=1)
        if not stopped.is_set()
    ]


def _file(content: str, number: int) -> bytes:
    """The file that is in base64. Raises Fault if it is not.

    Its lines may be broken, its two last signs those for URLs, its padding missing (RFC 4648), and it may
    be a data: URL: none of these can mean anything else.
    """
    head, comma, signs = content[:200].partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        content = content[len(head) + 1 :]
    signs = content.translate(_SIGNS).rstrip("=")
    try:
        return base64.b64decode(signs + "=" * (-len(signs) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _refused(
            f"image {number} is not base64",
            "it has other signs than base64 has, or is cut short",
            "encode the bytes of a picture file in base64",
        ) from None


def _refused(what: str, why: str, fix: str) -> Fault:
    return Fault(HTTPStatus.UNPROCESSABLE_ENTITY, what, why=why, fix=fix)


def image_shape(served: Served) -> ImageShape | None:
    """What size of images it labels; None if it labels texts."""
    assert isinstance(served.system, Classifier)
    source = served.system.ends.source
    return source if isinstance(source, ImageShape) else None
