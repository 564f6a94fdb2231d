"""How good a model is on text it does not learn from."""

from dataclasses import dataclass

import numpy as np
import torch

from atonce.data.batches import collate, plan_batches
from atonce.data.prepare import Prepared
from atonce.decoding.translator import Translator
from atonce.evaluation.translation import chrf
from atonce.training.loss import batch_loss


@dataclass(frozen=True)
class Validation:
    """What a model makes of the validation text."""

    loss: float
    """What training minimises, as a mean over the target pieces, in nats: with its label smoothing.

    Without it the likelihood soon gets worse while translations still get better: a model that was taught
    never to be quite sure is punished for it.
    """
    chrf: float
    """chrF of greedy translations, from 0 to 100."""


def validate(
    translator: Translator, prepared: Prepared, *, sentences: int, batch_tokens: int, smoothing: float
) -> Validation:
    """The loss over all validation pairs, and chrF over at most `sentences` of them, evenly spread."""
    count = len(prepared.valid_pairs)
    chosen = [prepared.valid_pairs[i] for i in np.linspace(0, count - 1, min(sentences, count)).astype(int)]
    outputs = translator.translate([pair.source for pair in chosen], beam=1)
    return Validation(
        validation_loss(translator, prepared, batch_tokens=batch_tokens, smoothing=smoothing),
        chrf([output.text for output in outputs], [pair.target for pair in chosen]),
    )


@torch.inference_mode()
def validation_loss(
    translator: Translator, prepared: Prepared, *, batch_tokens: int, smoothing: float
) -> float:
    """Mean label-smoothed cross entropy of a target piece, in nats."""
    examples, model = prepared.valid, translator.model
    model.eval()
    total, tokens = 0.0, 0
    for indices in plan_batches(
        examples.source_lengths, examples.target_lengths, batch_tokens=batch_tokens, seed=0, epoch=0
    ):
        batch = collate(examples, indices, translator.tokenizer).to(translator.device)
        total += batch_loss(model, batch, smoothing).smoothed.item()
        tokens += batch.target_tokens
    return total / tokens
