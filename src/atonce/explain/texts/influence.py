"""Influence: what in the source makes each word of an output likely, asked of the model's probabilities.

Two ways to ask, of any model, with attention or without: how steeply the probability changes with the vectors
of a source word (the gradient), and by how much it falls when the word is left out (occlusion).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.explain.texts.forced import Forced, forced, log_probabilities
from atonce.explain.texts.words import AttentionMap
from atonce.models.seq2seq import Seq2Seq
from atonce.pauses import pause
from atonce.result import plain
from atonce.shapes import Float

CAVEAT = (
    "Attention is not an explanation: quite other weights can lead to the same output (Jain and Wallace "
    "2019), though whether that matters depends on what is to be explained (Wiegreffe and Pinter 2019). "
    "Gradient and occlusion ask what would change the output; they are hints too, and no proof."
)
"""What to say beside attention and influence."""

GRADIENT_RULE = (
    "Gradient × input: how steeply the log-probability of the output word changes with the vectors of the "
    "source word's pieces. Norms are summed over pieces; each row is scaled to sum to one."
)
OCCLUSION_RULE = (
    "Occlusion: by how many nats the log-probability of the output word falls when the source word is left "
    "out. Falls below zero count as none; each row is scaled to sum to one."
)

POSITIONS_AT_ONCE = 512
SCORES_AT_ONCE = 1 << 21
"""Positions of outputs, and scores of all pieces at these, that exist at once; or those of one output."""


def positions_at_once(model: Seq2Seq) -> int:
    """Of outputs that are forced together: fewer, where the model knows very many pieces."""
    return min(POSITIONS_AT_ONCE, SCORES_AT_ONCE // len(model.decoder.output.weight))


@dataclass(frozen=True, eq=False)
class InfluenceMap(AttentionMap):
    """How much each source word matters to each word of the output. It is drawn as attention is.

    `weights` are shares: each row sums to one, or is zero where no source word speaks for the output's.
    """

    raw: Float[np.ndarray, "rows columns"] = field(kw_only=True)
    """The same before scaling, in nats. NaN where it was not asked: the end of a source is not left out."""

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, numbers and texts. NaN becomes None."""
        return {
            "title": self.title,
            "rule": self.rule,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "weights": [[plain(weight) for weight in row] for row in self.weights],
            "raw": [[plain(number) for number in row] for row in self.raw],
        }


def gradient_influence(
    translator: Translator, text: str, target: str | Sequence[int] | None = None
) -> InfluenceMap:
    """The gradient of each output word's log-probability, by the vectors of the source's pieces.

    The raw number of a source word is Σ ‖∂ log p / ∂e ⊙ e‖ over the vectors e of its pieces, p being the
    probability of the output word given the source and the output before it (gradient × input; Shrikumar
    2016). `target`: a text, or pieces by number as search finds them; without it, the model's own best
    output. It takes a training step with a sentence for each output word.

    Raises RunError for a model that multiplies in eight bits, RecipeError for a text that is too long to be
    read at once, or for pieces that there are not.
    """
    model = translator.model
    if model.decoder.output.quantized is not None:
        raise RunError(
            f"there is no gradient in {translator.name}",
            why="it multiplies in eight bits, in steps that have no slope",
            fix="load it without fast (--fast), or ask for occlusion",
        )
    given = forced(translator, text, target)
    found = []
    with (
        translator.evaluating(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=False),  # its recurrent layers have no gradient but in training
    ):
        vectors, real = model.source.read(*translator.read([given.read]))
        belongs = torch.from_numpy(_membership(given)).to(vectors.dtype).to(vectors.device)
        # A row of the batch for each word: then one step back gives the gradients of all of them.
        for words in belongs.split(max(1, positions_at_once(model) // len(given.written))):
            embedded = vectors.detach().expand(len(words), -1, -1).clone().requires_grad_()
            memory = model.encoder(embedded, real.expand(len(words), -1))
            of_pieces = log_probabilities(model, memory, given.written)
            (slope,) = torch.autograd.grad((of_pieces * words).sum(), embedded)
            found.append((slope * embedded.detach()).norm(dim=-1).cpu().double().numpy())
            pause()
    of_source_pieces = np.concatenate(found)
    raw = np.zeros((len(of_source_pieces), len(given.source.words)))
    np.add.at(raw.T, np.array(given.source.word_of_piece, dtype=np.intp), of_source_pieces.T)
    return _map(given, raw, "gradient × input", GRADIENT_RULE)


def occlusion_influence(
    translator: Translator, text: str, target: str | Sequence[int] | None = None
) -> InfluenceMap:
    """By how much each output word's log-probability falls, in nats, when a source word is left out.

    Left out is as `Translator.source_pieces` has it: as if the text did not have the word ("erasure", Li
    2016). The end of the source is not left out: no model has met a text that does not end. `target`: see
    `gradient_influence`.

    Raises RecipeError for a text that is too long to be read at once, or for pieces that there are not.
    """
    given = forced(translator, text, target)
    words = len(given.source.words) - 1
    sources = [given.read]
    for word in range(words):
        sources.append(tuple(translator.source_pieces(text, without=given.source.places([word]))))
        pause()
    of_words = _by_source(translator, sources, given.written) @ _membership(given).T
    raw = np.full((len(given.target.words), words + 1), np.nan)
    raw[:, :words] = (of_words[0] - of_words[1:]).T
    return _map(given, raw, "occlusion", OCCLUSION_RULE)


@torch.inference_mode()
def _by_source(
    translator: Translator, sources: Sequence[tuple[int, ...]], written: Sequence[int]
) -> Float[np.ndarray, "sources target_len"]:
    """The log-probabilities of one output given each source."""
    rows = max(1, positions_at_once(translator.model) // max(len(written), len(sources[0]) + 1))
    found = []
    with translator.evaluating():
        for start in range(0, len(sources), rows):
            memory = translator.model.encode(*translator.read(sources[start : start + rows]))
            found.append(log_probabilities(translator.model, memory, written).cpu().double().numpy())
            pause()
    return np.concatenate(found)


def _membership(given: Forced) -> Float[np.ndarray, "words target_len"]:
    """1 where a piece of the output belongs to a word."""
    words = np.arange(len(given.target.words))[:, None]
    return (words == np.array(given.target.word_of_piece)).astype(np.float64)


def _map(given: Forced, raw: Float[np.ndarray, "rows columns"], title: str, rule: str) -> InfluenceMap:
    for_it = raw.clip(min=0)
    sums = np.nansum(for_it, axis=1, keepdims=True)
    weights = np.divide(for_it, sums, out=np.where(np.isnan(raw), np.nan, 0.0), where=sums > 0)
    return InfluenceMap(
        given.target.words, given.source.words, weights, title, rule, measure="share of influence", raw=raw
    )
