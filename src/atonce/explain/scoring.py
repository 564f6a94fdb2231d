"""Scoring: the probability of each token and word of a known output, by teacher forcing.

It works for any model, with attention or without. Within `recorded_attention` the same pass gives the record.
It is the model's own opinion, and a model can be sure of what is wrong.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atonce.data.tokenizer import BOS
from atonce.decoding.translator import Translator
from atonce.explain.words import Side, side_of
from atonce.models.interface import Memory
from atonce.models.seq2seq import Seq2Seq
from atonce.result import HIDDEN, Result, computed
from atonce.shapes import Float


def target_features(
    model: Seq2Seq, memory: Memory, written: Sequence[int]
) -> Float[Tensor, "batch target_len dim"]:
    """Teacher forcing: the decoder's features at each position of one output, for each row of `memory`."""
    # One output for all rows: the last of its tokens is only predicted, never read.
    target_in = torch.tensor([[BOS, *written[:-1]]], device=memory.states.device)
    return model.decoder.forward(target_in.expand(len(memory.mask), -1), memory)


def log_probabilities(
    model: Seq2Seq, memory: Memory, written: Sequence[int]
) -> Float[Tensor, "batch target_len"]:
    """Of each token of one output, given each row of `memory` and the tokens before it, in nats."""
    logits = model.decoder.logits(target_features(model, memory, written))
    target_out = torch.tensor(written, device=logits.device).expand(len(logits), -1)
    # As a difference: `log_softmax` would keep a second table of all tokens at all positions.
    return logits.gather(-1, target_out[..., None])[..., 0] - logits.logsumexp(-1)


@dataclass(frozen=True)
class ForcedOutput:
    """One text and one output of it, as a model reads and writes them."""

    source: Side
    target: Side
    read: tuple[int, ...]
    """The tokens of the source by number, without its end."""
    written: tuple[int, ...]
    """The tokens of the output by number, with `eos` unless it was cut off."""


def forced_output(
    translator: Translator,
    text: str,
    target: str | Sequence[int] | None,
    *,
    without: Collection[int] = (),
) -> ForcedOutput:
    """`text` with `target`, a text or tokens by number; with the model's own best output where it is None.

    `without`: places of source tokens that are left out, see `Translator.source_tokens`. Raises RecipeError
    for a text that is too long to be read at once, or for unknown tokens.
    """
    read = translator.source_tokens(text, without=without)
    if target is None:
        # As tokens: search may spell a text otherwise than the tokenizer, with another probability.
        target = translator.hypotheses(text, without=without)[0].tokens
    return as_forced(translator, read, target)


def as_forced(translator: Translator, read: Sequence[int], target: str | Sequence[int]) -> ForcedOutput:
    """Tokens of a source without its end, and an output: a text, or tokens by number."""
    tokenizer, written = translator.tokenizer, translator.target_tokens(target)
    source, output = side_of(tokenizer, [*read, tokenizer.eos]), side_of(tokenizer, written)
    return ForcedOutput(source, output, tuple(read), tuple(written))


@dataclass(frozen=True)
class Confidence(Result):
    """How likely a model finds one output, token by token."""

    target: Side = field(metadata=HIDDEN)
    """The output; its end is the last of its tokens and words, unless it was cut off."""
    log_probabilities: tuple[float, ...] = field(metadata=HIDDEN)
    """Of each token, given the source and the tokens before it, in nats."""

    @computed
    def text(self) -> str:
        """The output, whole."""
        return self.target.text

    @computed
    def log_probability(self) -> float:
        """Of the whole output: what search calls `Hypothesis.log_probability`."""
        return sum(self.log_probabilities)

    @computed
    def tokens(self) -> list[dict[str, Any]]:
        """Each token with the number of its word, its log-probability and its probability."""
        named = zip(self.target.tokens, self.target.word_of_token, strict=True)
        return [
            {"token": token, "word": word, "log_probability": log, "probability": share}
            for (token, word), log, share in zip(
                named, self.log_probabilities, self.probabilities, strict=True
            )
        ]

    @computed
    def words(self) -> list[dict[str, Any]]:
        """Each word with its log-probability and its probability."""
        return [
            {"word": word, "log_probability": log, "probability": share}
            for word, log, share in zip(
                self.target.words, self.word_log_probabilities, self.word_probabilities, strict=True
            )
        ]

    @property
    def word_log_probabilities(self) -> tuple[float, ...]:
        """Of each word: the sum over its tokens, so that the sum over words is that of the whole."""
        # Logarithms are added: the product of hundreds of probabilities would be 0.
        sums = np.bincount(self.target.word_of_token, self.log_probabilities, len(self.target.words))
        return tuple(sums.tolist())

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each token, from 0 to 1."""
        return tuple(np.exp(self.log_probabilities).tolist())

    @property
    def word_probabilities(self) -> tuple[float, ...]:
        """Of each word, from 0 to 1: that all its tokens are written, one after the other."""
        return tuple(np.exp(self.word_log_probabilities).tolist())


@torch.inference_mode()
def confidence(
    translator: Translator,
    text: str,
    target: str | Sequence[int] | None = None,
    *,
    without: Collection[int] = (),
) -> Confidence:
    """How likely the model finds each token of `target` as a translation of `text`.

    `target`: a text, or tokens by number as search finds them; without it, the model's own best output.
    `without`: places of source tokens that are left out, see `Translator.source_tokens`. Raises RecipeError
    for a text that is too long to be read at once, or for unknown tokens.
    """
    forced = forced_output(translator, text, target, without=without)
    with translator.evaluating():
        memory = translator.model.encode(*translator.read([forced.read]))
        found = log_probabilities(translator.model, memory, forced.written)[0]
    return Confidence(forced.target, tuple(found.tolist()))
