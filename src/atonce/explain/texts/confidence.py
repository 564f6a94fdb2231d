"""Confidence: how likely a model finds each piece and each word of an output.

Any model has it, with attention or without. It is the model's own opinion, and a model can be sure of what is
wrong.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from atonce.decoding.translator import Translator
from atonce.explain.texts.forced import forced, log_probabilities
from atonce.explain.texts.translation import Side


@dataclass(frozen=True)
class Confidence:
    """Of one output."""

    target: Side
    """The output; its end is the last of its pieces and words, unless it was cut off."""
    log_probabilities: tuple[float, ...]
    """Of each piece, given the source and the pieces before it, in nats."""

    @property
    def log_probability(self) -> float:
        """Of the whole output: what search calls `Hypothesis.log_probability`."""
        return sum(self.log_probabilities)

    @property
    def word_log_probabilities(self) -> tuple[float, ...]:
        """Of each word: the sum over its pieces, so that the sum over words is that of the whole."""
        sums = np.bincount(self.target.word_of_piece, self.log_probabilities, len(self.target.words))
        return tuple(sums.tolist())

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each piece, from 0 to 1."""
        return tuple(np.exp(self.log_probabilities).tolist())

    @property
    def word_probabilities(self) -> tuple[float, ...]:
        """Of each word, from 0 to 1: that all its pieces are written, one after the other."""
        return tuple(np.exp(self.word_log_probabilities).tolist())

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, numbers and texts."""
        return {
            "text": self.target.text,
            "log_probability": self.log_probability,
            "pieces": [
                {"piece": piece, "word": word, "log_probability": log, "probability": share}
                for piece, word, log, share in zip(
                    self.target.pieces,
                    self.target.word_of_piece,
                    self.log_probabilities,
                    self.probabilities,
                    strict=True,
                )
            ],
            "words": [
                {"word": word, "log_probability": log, "probability": share}
                for word, log, share in zip(
                    self.target.words, self.word_log_probabilities, self.word_probabilities, strict=True
                )
            ],
        }


@torch.inference_mode()
def confidence(
    translator: Translator,
    text: str,
    target: str | Sequence[int] | None = None,
    *,
    without: Collection[int] = (),
) -> Confidence:
    """How likely the model finds each piece of `target` as a translation of `text`.

    `target`: a text, or pieces by number as search finds them; without it, the model's own best output.
    `without`: places of source pieces that are left out, see `Translator.source_pieces`. Raises RecipeError
    for a text that is too long to be read at once, or for pieces that there are not.
    """
    given = forced(translator, text, target, without=without)
    with translator.evaluating():
        memory = translator.model.encode(*translator.read([given.read]))
        found = log_probabilities(translator.model, memory, given.written)[0]
    return Confidence(given.target, tuple(found.tolist()))
