"""Classifying texts and images. Images come as picture files in base64."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from atonce.data.image_files import image_of, size_of
from atonce.data.images import ImageShape
from atonce.decoding.classifier import Classification, Classifier
from atonce.serve.dispatcher import Dispatcher
from atonce.serve.errors import unprocessable
from atonce.serve.json_format import JsonRoute
from atonce.serve.limits import CHARACTERS_PER_TOKEN, MB, Limits, check_texts
from atonce.serve.messages import REFUSALS, ClassifyRequest, ClassifyResponse
from atonce.serve.registry import ModelRegistry
from atonce.shapes import UInt8

SMALL_IMAGES = 250_000
"""Pixels of a request, up to which it does not wait for the large pictures of others: 7 MB on each thread."""
_BASE64 = str.maketrans("-_", "+/", " \t\r\n")


def classify_routes(models: ModelRegistry, dispatcher: Dispatcher) -> APIRouter:
    """The route for classification."""
    router = APIRouter(responses=REFUSALS, route_class=JsonRoute)
    limits = dispatcher.limits
    inputs = ImageInputs(limits)

    @router.post("/v1/classify")
    async def classify(body: ClassifyRequest, request: Request) -> ClassifyResponse:
        """Classify texts, or images, each by itself."""
        served = models.choose(body.model, "classification")
        job, shape = ClassifyJob(served.classifier), served.classifier.io_spec.source
        if isinstance(shape, ImageShape):
            files = _wanted(body.images, "images", served.name, instead=body.texts)
            answer = of_images(job, files, shape)
        else:
            texts = _wanted(body.texts, "texts", served.name, instead=body.images)
            check_texts(texts, limits)
            # By characters: near enough for a priority, and no text is tokenized twice.
            answer = dispatcher.submit(job, texts, work=sum(map(len, texts)) // CHARACTERS_PER_TOKEN)
        return ClassifyResponse(model=served.name, labels=await dispatcher.in_time(request, answer))

    async def of_images(job: ClassifyJob, files: Sequence[str], shape: ImageShape) -> list[Any]:
        # To read them is part of the request's time. Its work: a token for each column of pixels.
        images = await inputs.images(files, shape)
        return await dispatcher.submit(job, images, work=shape.width * len(files))

    return router


@dataclass(frozen=True)
class ClassifyJob:
    """A label for each source."""

    classifier: Classifier

    def run(self, sources: list[Any]) -> list[Classification]:
        """The label of each."""
        return self.classifier.classify(sources)


def _wanted(given: list[str] | None, name: str, model: str, *, instead: object) -> list[str]:
    """What a model reads. Raises HTTPError if it is missing, or something else was given as well."""
    if given is None or instead is not None:
        raise unprocessable(
            f"{name} is missing" if given is None else f"there is more than {name}",
            why=f"{model} labels {name}",
            fix=f"give a list of them as {name!r}, and nothing else",
        )
    return given


class ImageInputs:
    """Decodes pictures outside of the event loop: small ones as they come, large ones a request at a time.

    So no more than one large picture is decoded in memory at a time.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._large = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    async def images(
        self, contents: Sequence[str], shape: ImageShape
    ) -> list[UInt8[np.ndarray, "height width"]]:
        """Picture files in base64 as the model reads them. If it is cancelled it stops at the next picture.

        Raises HTTPError for too many, or too many pixels; that or DataError for one that cannot be read.
        """
        most = self._limits.texts_of_a_request
        if len(contents) > most:
            raise unprocessable(
                f"there are {len(contents):,} images",
                why=f"a request may have {most:,}",
                fix="send them in several",
            )
        # Their heads first: no picture is decoded unless all of them together may be.
        loop, stopped = asyncio.get_running_loop(), Event()
        try:
            files, pixels = await loop.run_in_executor(None, self._files, contents, stopped)
            thread = self._large if pixels > SMALL_IMAGES else None
            return await loop.run_in_executor(thread, _images, files, shape, stopped)
        finally:
            stopped.set()  # a thread cannot be cancelled: it looks at this before each picture

    def _files(self, contents: Sequence[str], stopped: Event) -> tuple[list[bytes], int]:
        """The files, and how many pixels they have in all, as their heads say."""
        # A file of a few kilobytes can hold enough pixels to fill the memory.
        files: list[bytes] = []
        pixels = 0
        for number, content in enumerate(contents, start=1):
            if stopped.is_set():
                break
            files.append(_file(content, number))
            more, needed = size_of(files[-1], name=f"image {number}")
            pixels += more
            if pixels > self._limits.pixels:
                raise unprocessable(
                    f"the images up to number {number} have {pixels:,} pixels",
                    why=f"those of a request may have {self._limits.pixels:,} in all",
                    fix="make them smaller, or send them in several requests",
                )
            if needed > self._limits.memory * MB:
                raise unprocessable(
                    f"image {number} would take about {needed / MB:,.0f} MB",
                    why=f"a request may take {self._limits.memory:,} MB here (--max-memory)",
                    fix="make it smaller: models read some thousand pixels",
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
    """The file that is in base64. Raises HTTPError if it is not.

    It may have line breaks, the alphabet for URLs, no padding (RFC 4648), or be a data: URL: none of these
    can mean anything else.
    """
    # Only the first characters: a comma is looked for in all of a text of many megabytes otherwise.
    head, comma, signs = content[:200].partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        content = content[len(head) + 1 :]
    signs = content.translate(_BASE64).rstrip("=")
    try:
        # `validate`: without it Python skips other characters, and another picture would be read.
        return base64.b64decode(signs + "=" * (-len(signs) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise unprocessable(
            f"image {number} is not base64",
            why="it has characters that base64 does not have, or is cut short",
            fix="encode the bytes of a picture file in base64",
        ) from None
