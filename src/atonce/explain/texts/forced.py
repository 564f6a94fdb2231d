"""Forced decoding: how likely a model finds a given output, piece by piece."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atonce.data.tokenizer import BOS
from atonce.decoding.translator import Translator
from atonce.explain.texts.translation import Side, side_of
from atonce.models.interface import Memory
from atonce.models.seq2seq import Seq2Seq
from atonce.shapes import Float


@dataclass(frozen=True)
class Forced:
    """One text and one output of it, as a model reads and writes them."""

    source: Side
    target: Side
    read: tuple[int, ...]
    """The pieces of the source by number, without its end."""
    written: tuple[int, ...]
    """The pieces of the output by number, with `eos` unless it was cut off."""


def forced(
    translator: Translator,
    text: str,
    target: str | Sequence[int] | None,
    *,
    without: Collection[int] = (),
) -> Forced:
    """`text` with `target`, a text or pieces by number; with the model's own best output where it is None.

    `without`: places of source pieces that are left out, see `Translator.source_pieces`. Raises RecipeError
    for a text that is too long to be read at once, or for pieces that there are not.
    """
    read = translator.source_pieces(text, without=without)
    if target is None:
        target = translator.hypotheses(text, without=without)[0].pieces
    written = translator.target_pieces(target)
    source = side_of(translator.tokenizer, [*read, translator.tokenizer.eos])
    return Forced(source, side_of(translator.tokenizer, written), tuple(read), tuple(written))


def log_probabilities(
    model: Seq2Seq, memory: Memory, written: Sequence[int]
) -> Float[Tensor, "batch target_len"]:
    """Of each piece of one output, given each row of `memory` and the pieces before it, in nats."""
    device, rows = memory.states.device, len(memory.mask)
    target_in = torch.tensor([[BOS, *written[:-1]]], device=device).expand(rows, -1)
    target_out = torch.tensor(written, device=device).expand(rows, -1)
    logits = model.decoder.logits(model.decoder.forward(target_in, memory))
    return logits.gather(-1, target_out[..., None])[..., 0] - logits.logsumexp(-1)
