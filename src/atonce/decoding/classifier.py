"""From a text or an image to a label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from atonce.data.config import Normalization
from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec, Labels
from atonce.decoding.batching import batches_by_length, padded, stacked_images
from atonce.decoding.predictor import Predictor
from atonce.models.seq2seq import Seq2Seq
from atonce.pauses import pause
from atonce.runs.recipe import Recipe
from atonce.shapes import Bool, Float, Int, UInt8

POSITIONS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Classification:
    """What a source was taken for."""

    label: str
    """The likeliest."""
    probabilities: dict[str, float]
    """Of every label, the likeliest first; they sum to one."""


class Classifier(Predictor):
    """A trained model that chooses a label. `atonce.load` gives one."""

    tasks = ("classification",)

    def __init__(
        self, model: Seq2Seq, io_spec: IOSpec, *, longest_source: int = 256, name: str = "model"
    ) -> None:
        """`io_spec`: what it reads, and its labels. `longest_source`: tokens of a text that are read."""
        super().__init__(model, name)
        assert isinstance(io_spec.target, Labels)
        self.io_spec = io_spec
        self.labels = io_spec.target
        self.longest_source = longest_source
        self.positions_at_once = POSITIONS_AT_ONCE

    @classmethod
    def of(cls, model: Seq2Seq, io_spec: IOSpec, recipe: Recipe, *, name: str = "model") -> "Classifier":
        """A classifier that was made by this recipe."""
        return cls(model, io_spec, longest_source=recipe.data.max_length, name=name)

    @overload
    def classify(
        self, sources: str | UInt8[np.ndarray, "height width"], *, on_progress: Callable[[int], None] = ...
    ) -> Classification: ...
    @overload
    def classify(
        self, sources: Sequence[Any], *, on_progress: Callable[[int], None] = ...
    ) -> list[Classification]: ...
    def classify(
        self,
        sources: str | UInt8[np.ndarray, "height width"] | Sequence[Any],
        *,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> Classification | list[Classification]:
        """The label of one source, or of each of several: texts, or images as uint8 arrays.

        Images are from 0 (paper) to 255 (ink).

        Of very long texts only the beginning is read. `on_progress` is called with the number of sources done
        since the last call.
        """
        # An array of three dimensions is a sequence of images.
        if isinstance(sources, str) or (isinstance(sources, np.ndarray) and sources.ndim == 2):
            return self.classify([sources], on_progress=on_progress)[0]
        found: list[Classification | None] = [None] * len(sources)
        encoded = []
        for source in sources:
            encoded.append(self._encoded(source))
            pause()
        with self.evaluating():
            for indices in batches_by_length([len(one) for one in encoded], self.positions_at_once):
                batch = self._probabilities([encoded[index] for index in indices])
                for index, probabilities in zip(indices, batch.tolist(), strict=True):
                    found[index] = self._classification(probabilities)
                on_progress(len(indices))
                pause()
        return [one for one in found if one is not None]

    @property
    def normalization(self) -> Normalization:
        """That of its tokenizer, where it reads texts: labels are spelt in it, too."""
        source = self.io_spec.source
        return "none" if isinstance(source, ImageShape) else source.normalization

    def outputs(
        self,
        sources: Sequence[Any],
        *,
        beam: int | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[str]:
        """The name of each source's label."""
        return [one.label for one in self.classify(sources, on_progress=on_progress)]

    def read(
        self, sources: Sequence[Any]
    ) -> tuple[
        Int[Tensor, "batch source_len"] | Float[Tensor, "batch height width"], Bool[Tensor, "batch real"]
    ]:
        """Sources as the model takes them."""
        return self._read([self._encoded(source) for source in sources])

    def _encoded(self, source: Any) -> Any:
        if isinstance(self.io_spec.source, ImageShape):
            return source
        tokenizer = self.io_spec.source
        # The beginning, not parts as a translator reads: a label is of the whole.
        return [*tokenizer.encode(source)[: self.longest_source], tokenizer.eos]

    def _read(self, encoded: Sequence[Any]) -> tuple[Tensor, Bool[Tensor, "batch real"]]:
        if isinstance(self.io_spec.source, ImageShape):
            return stacked_images(encoded, self.device)
        return padded(encoded, self.device)

    @torch.inference_mode()
    def _probabilities(self, encoded: Sequence[Any]) -> Float[Tensor, "batch labels"]:
        decoder = self.model.decoder
        memory = self.model.encode(*self._read(encoded))
        # A decoder's step wants a token; a classifier's does not look at it.
        nothing = memory.mask.new_zeros(len(memory.mask), dtype=torch.long)
        logits, _ = decoder.step(nothing, decoder.start(memory))
        return logits.softmax(-1)

    def _classification(self, probabilities: list[float]) -> Classification:
        named = dict(zip(self.labels.names, probabilities, strict=True))
        ranked = dict(sorted(named.items(), key=lambda item: -item[1]))
        return Classification(next(iter(ranked)), ranked)
