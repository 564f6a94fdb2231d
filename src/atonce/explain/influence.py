"""Influence: what in the source makes an output likely, by the model's probabilities.

Two measures, for any model, with attention or without: how steeply the probability changes with the vectors
of a source word (the gradient), and by how much it falls without a word, or a part of an image (occlusion).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.explain.scoring import ForcedOutput, forced_output, log_probabilities
from atonce.explain.words import AttentionMap, membership
from atonce.models.image import ImageEmbedding
from atonce.models.seq2seq import Seq2Seq
from atonce.pauses import pause
from atonce.result import HIDDEN, Result, computed, to_plain
from atonce.shapes import Float, UInt8

CAVEAT = (
    "Attention is not an explanation: quite other weights can lead to the same output (Jain and Wallace "
    "2019), though whether that matters depends on what is to be explained (Wiegreffe and Pinter 2019). "
    "Gradient and occlusion measure what would change the output; they are hints too, not a proof."
)
"""The caveat that pages show beside attention and influence."""

GRADIENT_RULE = (
    "Gradient × input: how steeply the log-probability of the output word changes with the vectors of the "
    "source word's tokens. Norms are summed over tokens; each row is scaled to sum to one."
)
OCCLUSION_RULE = (
    "Occlusion: by how many nats the log-probability of the output word falls when the source word is left "
    "out. Falls below zero count as none; each row is scaled to sum to one."
)

IMAGE_OCCLUSION_RULE = (
    "Occlusion: by how many nats the log-probability of the label falls when the cell is made paper. "
    "Blue cells speak for the label, orange ones against it."
)

POSITIONS_AT_ONCE = 512
SCORES_AT_ONCE = 1 << 21
"""Positions of outputs, and scores of all tokens at these, in memory at once; or those of one output."""
# Between two slices the server lets others compute (`pauses`): a slice is what they may have to wait for.

_IMAGES_AT_ONCE = 128
_CELLS_ALONG = 7
"""Cells along each side of the image, about, where the model's own grid is too coarse."""
_COARSE = 4
"""A grid with fewer rows or columns says little about where."""


def positions_at_once(model: Seq2Seq) -> int:
    """Positions that are forced together: fewer, if the vocabulary is very large."""
    return min(POSITIONS_AT_ONCE, SCORES_AT_ONCE // len(model.decoder.output.weight))


@dataclass(frozen=True, eq=False)
class InfluenceMap(AttentionMap):
    """How much each source word matters to each word of the output. It is drawn as attention is.

    `weights` are shares: each row sums to one, or is zero where no source word speaks for the output's.
    """

    raw: Float[np.ndarray, "rows columns"] = field(kw_only=True, metadata=HIDDEN)
    """The same before scaling, in nats. NaN where not measured: the end of a source is not left out."""

    def to_dict(self) -> dict[str, Any]:
        """As a map of attention, and the numbers behind the shares."""
        return super().to_dict() | {"raw": to_plain(self.raw)}


def gradient_influence(
    translator: Translator, text: str, target: str | Sequence[int] | None = None
) -> InfluenceMap:
    """The gradient of each output word's log-probability with respect to the vectors of the source's tokens.

    The raw number of a source word is Σ ‖∂ log p / ∂e ⊙ e‖ over the vectors e of its tokens, p being the
    probability of the output word given the source and the output before it (gradient × input; Shrikumar
    2016). `target`: a text, or tokens by number as search finds them; without it, the model's own best
    output. It costs as much as a training step with a sentence for each output word.

    Raises RunError for a model in int8 (`fast`), RecipeError for a text that is too long to be read at once,
    or for unknown tokens.
    """
    model = translator.model
    if model.decoder.output.quantized is not None:
        raise RunError(
            f"there is no gradient in {translator.name}",
            why="it computes in int8, whose rounding has no gradient",
            fix="load it without fast (--fast), or use occlusion",
        )
    forced = forced_output(translator, text, target)
    found = []
    with (
        translator.evaluating(),
        torch.inference_mode(False),  # whatever the caller is in
        torch.enable_grad(),
        # cuDNN's recurrent layers have a backward pass in training mode alone, which has dropout.
        torch.backends.cudnn.flags(enabled=False),
    ):
        vectors, real = model.source.read(*translator.read([forced.read]))
        to_words = membership(forced.target.word_of_token, len(forced.written)).T
        belongs = torch.from_numpy(to_words).to(vectors)
        # A row of the batch for each word: then one step back gives the gradients of all of them.
        for words in belongs.split(max(1, positions_at_once(model) // len(forced.written))):
            # Leaves of the graph, each row with memory of its own: nothing flows back into the table.
            embedded = vectors.detach().expand(len(words), -1, -1).clone().requires_grad_()
            memory = model.encoder(embedded, real.expand(len(words), -1))
            of_tokens = log_probabilities(model, memory, forced.written)
            (slope,) = torch.autograd.grad((of_tokens * words).sum(), embedded)
            # Norms and not sums: parts of a vector with opposite signs would cancel out.
            found.append((slope * embedded.detach()).norm(dim=-1).cpu().double().numpy())
            pause()
    of_source_tokens = np.concatenate(found)
    raw = of_source_tokens @ membership(forced.source.word_of_token, of_source_tokens.shape[1])
    return _map(forced, raw, "gradient × input", GRADIENT_RULE)


def occlusion_influence(
    translator: Translator, text: str, target: str | Sequence[int] | None = None
) -> InfluenceMap:
    """By how much each output word's log-probability falls, in nats, when a source word is left out.

    Left out is as `Translator.source_tokens` has it: as if the text did not have the word ("erasure", Li
    2016). The end of the source is not left out: no model was trained on a text without one. `target`: see
    `gradient_influence`.

    Raises RecipeError for a text that is too long to be read at once, or for unknown tokens.
    """
    forced = forced_output(translator, text, target)
    words = len(forced.source.words) - 1
    shorter = []
    for word in range(words):
        shorter.append(tuple(translator.source_tokens(text, without=forced.source.places([word]))))
        pause()
    rows = positions_at_once(translator.model) // max(len(forced.written), len(forced.read) + 1)
    falls = _falls(translator, [forced.read, *shorter], forced.written, at_once=rows)
    raw = np.full((len(forced.target.words), words + 1), np.nan)
    raw[:, :words] = (falls @ membership(forced.target.word_of_token, len(forced.written))).T
    return _map(forced, raw, "occlusion", OCCLUSION_RULE)


@dataclass(frozen=True, eq=False)
class Occlusion(Result):
    """How much less likely a label is when a cell of the image is covered."""

    title: str
    rule: str
    """What the numbers are, as the figure states it."""
    label: str
    cell: tuple[int, int]
    """Height and width of a cell, in pixels."""
    falls: Float[np.ndarray, "rows columns"]
    """By how many nats the label's log-probability falls; below zero where it rises."""

    @computed
    def grid(self) -> tuple[int, ...]:
        """Rows and columns of cells."""
        return self.falls.shape


def image_occlusion(
    classifier: Classifier, image: UInt8[np.ndarray, "height width"], label: str, cell: tuple[int, int]
) -> Occlusion:
    """How much the log-probability of `label` falls as each cell of `image` in turn is made paper.

    `cell`: height and width of the cells, in pixels; the last ones may reach beyond the image. A cell that is
    paper already changes nothing. Unlike attention it can be asked of any model, and says what changes the
    answer (Zeiler and Fergus 2014, section 4.2). Raises DataError if the model has no such label.
    """
    number = classifier.labels.number(label)
    # Cells without ink stay zero: they are not tried, as nothing changes without them (`_covered`).
    falls = np.zeros([-(-side // part) for side, part in zip(image.shape, cell, strict=True)], np.float32)
    covered = _covered(image, cell)
    # A label is an output of one token.
    found = _falls(classifier, [image, *covered.values()], [number], at_once=_IMAGES_AT_ONCE)
    for place, fall in zip(covered, found[:, 0], strict=True):
        falls[place] = fall
    return Occlusion(f"{label}: occlusion", IMAGE_OCCLUSION_RULE, label, cell, falls)


def cell_of(embedding: ImageEmbedding) -> tuple[int, int]:
    """Height and width of what to cover: a cell of the model's own grid, if there are enough of them."""
    if min(embedding.grid) >= _COARSE:
        return embedding.cell
    height, width = (max(1, round(side / _CELLS_ALONG)) for side in embedding.shape)
    return height, width


def _covered(
    image: UInt8[np.ndarray, "height width"], cell: tuple[int, int]
) -> dict[tuple[int, int], UInt8[np.ndarray, "height width"]]:
    """The image without the ink of each cell that has any, by row and column of the cell."""
    covered = {}
    for top in range(0, image.shape[0], cell[0]):
        for left in range(0, image.shape[1], cell[1]):
            window = slice(top, top + cell[0]), slice(left, left + cell[1])
            if image[window].any():  # paper that is made paper is the same image
                without = image.copy()
                without[window] = 0
                covered[top // cell[0], left // cell[1]] = without
    return covered


@torch.inference_mode()
def _falls(
    system: Translator | Classifier, sources: Sequence[Any], written: Sequence[int], *, at_once: int
) -> Float[np.ndarray, "occluded target_len"]:
    """By how many nats each token of an output is less likely with each other source than with the first."""
    # Sources of different lengths in one batch: padding changes no number (a law).
    found = []
    with system.evaluating():
        for start in range(0, len(sources), max(1, at_once)):
            memory = system.model.encode(*system.read(sources[start : start + max(1, at_once)]))
            # In double, so that sums over the tokens of a word round nothing.
            found.append(log_probabilities(system.model, memory, written).cpu().double().numpy())
            pause()
    of_sources = np.concatenate(found)
    return of_sources[0] - of_sources[1:]


def _map(forced: ForcedOutput, raw: Float[np.ndarray, "rows columns"], title: str, rule: str) -> InfluenceMap:
    # What speaks against a word has no share in what speaks for it.
    for_it = raw.clip(min=0)
    sums = np.nansum(for_it, axis=1, keepdims=True)
    weights = np.divide(for_it, sums, out=np.where(np.isnan(raw), np.nan, 0.0), where=sums > 0)
    return InfluenceMap(
        forced.target.words, forced.source.words, weights, title, rule, measure="share of influence", raw=raw
    )
