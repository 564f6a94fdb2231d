"""The training loop, from top to bottom. It learns; who iterates over it validates, saves and stops."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from atonce.data.batches import Batch, DataPosition
from atonce.layers.precision import products
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import TrainingConfig
from atonce.training.budget import Budget, Clock
from atonce.training.distributed import SINGLE_PROCESS, Ranks
from atonce.training.loss import batch_loss
from atonce.training.optimizers import WeightAverage, rate_factor


@dataclass(frozen=True)
class Update:
    """What one step did."""

    step: int
    position: DataPosition
    """How far the data were read."""
    loss: float
    """Mean over the target tokens, in nats, label smoothing included."""
    gradient_norm: float
    rate_factor: float
    target_tokens: int
    padding_share: float
    batches: tuple[Batch, ...]
    """What was read: as many as are accumulated."""
    seconds: float
    """Since the training began, earlier sessions and validations included."""

    @property
    def skipped(self) -> bool:
        """Whether loss or gradient were not finite, so that nothing was learned."""
        return not (math.isfinite(self.loss) and math.isfinite(self.gradient_norm))


def updates(
    model: Seq2Seq,
    optimizers: list[torch.optim.Optimizer],
    average: WeightAverage | None,
    stream: Iterator[tuple[Batch, DataPosition]],
    config: TrainingConfig,
    budget: Budget,
    *,
    done: int = 0,
    clock: Clock | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> Iterator[Update]:
    """Train in place. Yields after every step, the first being `done` + 1, until the budget is used up.

    `clock`: runs since the training began; without it, it begins here. `ranks`: the processes that learn
    together, each from its share of every batch.
    """
    device = next(model.parameters()).device
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    clock = clock or Clock()
    step = done
    while not budget.is_over(step):
        step += 1
        began = clock.seconds
        planned = budget.planned_steps(step)
        factor = rate_factor(step, schedule=config.schedule, warmup=config.warmup, steps=planned)
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * factor

        read = [next(stream) for _ in range(config.accumulate)]
        batches = tuple(batch.to(device) for batch, _ in read)
        # Of all batches and all processes: the loss is the mean over the update's tokens, however it is split
        # up.
        tokens = sum(batch.target_tokens for batch in batches)
        model.train()
        # Rows of different processes are dropped out independently.
        ranks.seed_per_rank(config.seed, step)
        loss = 0.0
        with products(config.precision, device):
            for share in ranks.shares(batches):
                part = batch_loss(model, share, config.label_smoothing).smoothed / tokens
                part.backward()
                loss += part.item()
            loss = ranks.sum_gradients(model, loss)
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm).item()
            # One bad step would spoil weights, momentum and average for good: it is left out, and counted.
            if math.isfinite(loss) and math.isfinite(norm):
                for optimizer in optimizers:
                    optimizer.step()
                if average:
                    average.update(model)
        model.zero_grad()  # and gives their memory back before a validation, which may follow

        # Back to the peak of every group: a checkpoint that is saved now stores the optimizers' state, rate
        # included, and a resumed training, which scales what it finds there, would scale it twice.
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak
        seconds = clock.seconds
        budget.update(step, seconds, seconds - began)
        padding = sum(batch.padding_share for batch in batches) / len(batches)
        yield Update(step, read[-1][1], loss, norm, factor, tokens, padding, batches, seconds)
