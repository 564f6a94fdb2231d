"""From a text or an image to a label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from atonce.data.config import Normalization
from atonce.data.ends import Ends
from atonce.data.images import ImageShape
from atonce.data.labels import Labels
from atonce.decoding.image_reader import as_source
from atonce.decoding.predictor import Predictor, padded
from atonce.decoding.search import batches_by_length
from atonce.models.seq2seq import Seq2Seq
from atonce.pauses import pause
from atonce.shapes import Bool, Float, Int

POSITIONS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Classification:
    """What a source was taken for."""

    label: str
    probabilities: dict[str, float]
    """Of every label, the likeliest first; they sum to one."""


class Classifier(Predictor):
    """A trained model that chooses a label. `atonce.load` gives one."""

    def __init__(self, model: Seq2Seq, ends: Ends, *, longest_source: int = 256, name: str = "model") -> None:
        """`ends`: what it reads, and its labels. `longest_source`: pieces of a text that are read."""
        super().__init__(model, name)
        assert isinstance(ends.target, Labels)
        self.ends = ends
        self.labels = ends.target
        self.longest_source = longest_source
        self.positions_at_once = POSITIONS_AT_ONCE

    def classify(
        self, sources: Sequence[Any], *, advance: Callable[[int], None] = lambda _: None
    ) -> list[Classification]:
        """The label of each source: texts, or images as uint8 arrays from 0 (paper) to 255 (ink).

        Of very long texts only the beginning is read. `advance` is called with the number of sources done
        since the last call.
        """
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
                advance(len(indices))
                pause()
        return [one for one in found if one is not None]

    @property
    def normalization(self) -> Normalization:
        """That of its tokenizer, where it reads texts: labels are spelt in it, too."""
        source = self.ends.source
        return "none" if isinstance(source, ImageShape) else source.normalization

    def outputs(
        self,
        sources: Sequence[Any],
        *,
        beam: int | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> list[str]:
        """The name of each source's label."""
        return [one.label for one in self.classify(sources, advance=advance)]

    def read(
        self, sources: Sequence[Any]
    ) -> tuple[
        Int[Tensor, "batch source_len"] | Float[Tensor, "batch height width"], Bool[Tensor, "batch real"]
    ]:
        """Sources as the model takes them."""
        return self._read([self._encoded(source) for source in sources])

    def _encoded(self, source: Any) -> Any:
        if isinstance(self.ends.source, ImageShape):
            return source
        tokenizer = self.ends.source
        return [*tokenizer.encode(source)[: self.longest_source], tokenizer.eos]

    def _read(self, encoded: Sequence[Any]) -> tuple[Tensor, Bool[Tensor, "batch real"]]:
        if isinstance(self.ends.source, ImageShape):
            return as_source(encoded, self.device)
        return padded(encoded, self.device)

    @torch.inference_mode()
    def _probabilities(self, encoded: Sequence[Any]) -> Float[Tensor, "batch labels"]:
        decoder = self.model.decoder
        memory = self.model.encode(*self._read(encoded))
        nothing = memory.mask.new_zeros(len(memory.mask), dtype=torch.long)
        logits, _ = decoder.step(nothing, decoder.start(memory))
        return logits.softmax(-1)

    def _classification(self, probabilities: list[float]) -> Classification:
        named = dict(zip(self.labels.names, probabilities, strict=True))
        ranked = dict(sorted(named.items(), key=lambda item: -item[1]))
        return Classification(next(iter(ranked)), ranked)
