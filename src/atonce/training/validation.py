"""How good a model is on text it does not learn from."""

from dataclasses import dataclass

import numpy as np
import torch

from atonce.data.batches import collate, plan_batches
from atonce.data.config import Task
from atonce.data.normalization import compared
from atonce.data.prepare import Prepared
from atonce.decoding.predictor import Predictor
from atonce.evaluation.tasks import VALIDATED
from atonce.training.loss import batch_loss


@dataclass(frozen=True)
class Validation:
    """What a model makes of the validation text."""

    loss: float
    """What training minimises, as a mean over the target tokens, in nats: with its label smoothing.

    Without it the likelihood soon gets worse while translations still get better: a model that was taught
    never to be quite sure is punished for it.
    """
    metric: str
    """What `score` is: chrF of texts, accuracy of labels, exact matches of readings."""
    score: float
    """Of greedy outputs, in per cent."""


def validate(
    system: Predictor, prepared: Prepared, task: Task, *, sentences: int, batch_tokens: int, smoothing: float
) -> Validation:
    """The loss over all validation pairs, and the task's score over at most `sentences`, evenly spread."""
    count = len(prepared.valid_pairs)
    chosen = [prepared.valid_pairs[i] for i in np.linspace(0, count - 1, min(sentences, count)).astype(int)]
    outputs = system.outputs([pair.source for pair in chosen], beam=1)
    references = compared([pair.target for pair in chosen], system.normalization)
    metric, score = VALIDATED[task]
    return Validation(
        validation_loss(system, prepared, batch_tokens=batch_tokens, smoothing=smoothing),
        metric,
        score(compared(outputs, system.normalization), references),
    )


@torch.inference_mode()
def validation_loss(system: Predictor, prepared: Prepared, *, batch_tokens: int, smoothing: float) -> float:
    """Mean label-smoothed cross entropy of a target token, in nats."""
    examples, model = prepared.valid, system.model
    model.eval()
    total, tokens = 0.0, 0
    for indices in plan_batches(
        examples.source_lengths, examples.target_lengths, batch_tokens=batch_tokens, seed=0, epoch=0
    ):
        batch = collate(examples, indices).to(system.device)
        total += batch_loss(model, batch, smoothing).smoothed.item()
        tokens += batch.target_tokens
    return total / tokens
