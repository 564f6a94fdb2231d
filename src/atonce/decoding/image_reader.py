"""From an image to the text in it."""

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
import torch

from atonce.data.config import Normalization
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.batching import stacked_images
from atonce.decoding.hypothesis import Hypothesis
from atonce.decoding.predictor import Predictor
from atonce.decoding.search import SearchOptions, check_outputs, check_search_fits, search
from atonce.decoding.translation import Translation, translation_of
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import DecodingConfig, Recipe
from atonce.shapes import UInt8

IMAGES_AT_ONCE = 64
LONGEST_OUTPUT = 64
"""Tokens after which a text is cut off: a small image has no room for more."""


class ImageReader(Predictor):
    """A trained model from an image to text. `atonce.load` gives one."""

    tasks = ("reading",)

    def __init__(
        self,
        model: Seq2Seq,
        shape: ImageShape,
        tokenizer: Tokenizer,
        config: DecodingConfig,
        *,
        name: str = "model",
    ) -> None:
        """`shape`: of the images it was trained on. `name`: what figures call it."""
        super().__init__(model, name)
        self.shape = shape
        self.tokenizer = tokenizer
        self.config = config

    @classmethod
    def of(cls, model: Seq2Seq, io_spec: IOSpec, recipe: Recipe, *, name: str = "model") -> "ImageReader":
        """A model from images to text that was made by this recipe."""
        assert isinstance(io_spec.source, ImageShape)
        assert isinstance(io_spec.target, Tokenizer)
        return cls(model, io_spec.source, io_spec.target, recipe.decoding, name=name)

    @overload
    def read_images(
        self,
        images: UInt8[np.ndarray, "height width"],
        *,
        beam: int | None = None,
        nbest: int = 1,
        on_progress: Callable[[int], None] = ...,
    ) -> Translation: ...
    @overload
    def read_images(
        self,
        images: Sequence[UInt8[np.ndarray, "height width"]],
        *,
        beam: int | None = None,
        nbest: int = 1,
        on_progress: Callable[[int], None] = ...,
    ) -> list[Translation]: ...
    def read_images(
        self,
        images: UInt8[np.ndarray, "height width"] | Sequence[UInt8[np.ndarray, "height width"]],
        *,
        beam: int | None = None,
        nbest: int = 1,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> Translation | list[Translation]:
        """The text in one image, or in each of several: of the shape it was trained on, 0 (paper) to 255.

        `beam`, `nbest`: see `Translator.translate`. `on_progress` is called with the number of images read
        since the last call. Raises RecipeError for a beam or `nbest` below 1.
        """
        if isinstance(images, np.ndarray) and images.ndim == 2:
            return self.read_images([images], beam=beam, nbest=nbest, on_progress=on_progress)[0]
        images = list(images)
        check_outputs(beam, nbest)
        options = SearchOptions(width=max(beam or self.config.beam, nbest), alpha=self.config.length_penalty)
        model = self.search_model(options)
        check_search_fits(model.decoder, options)
        batches = [images[start : start + IMAGES_AT_ONCE] for start in range(0, len(images), IMAGES_AT_ONCE)]

        # Here, not around the whole: engines call it on other threads, and the mode is each thread's own.
        @torch.inference_mode()
        def of(batch: Sequence[UInt8[np.ndarray, "height width"]]) -> list[list[Hypothesis]]:
            memory = model.encode(*stacked_images(batch, self.device))
            return search(model.decoder, memory, self.tokenizer, [LONGEST_OUTPUT] * len(batch), options)

        found: list[Translation] = []
        with self.evaluating():
            for hypotheses in model.map_batches(of, batches):
                found += [translation_of(one, self.tokenizer, nbest) for one in hypotheses]
                on_progress(len(hypotheses))
        return found

    @property
    def normalization(self) -> Normalization:
        """That of its tokenizer."""
        return self.tokenizer.normalization

    def outputs(
        self,
        sources: Sequence[UInt8[np.ndarray, "height width"]],
        *,
        beam: int | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[str]:
        """The text in each image."""
        return [reading.text for reading in self.read_images(sources, beam=beam, on_progress=on_progress)]
