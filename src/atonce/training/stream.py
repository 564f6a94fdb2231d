"""The batches of a training, epoch after epoch, from any position on."""

from collections.abc import Iterator
from typing import NamedTuple

from atonce.data.batches import Batch, collate, plan_batches
from atonce.data.examples import Examples
from atonce.data.images import ImageExamples

LET_GO_EVERY = 50
"""Batches after which the pages read are dropped."""


class Position(NamedTuple):
    """How far a training has read."""

    epoch: int = 0
    batch: int = 0
    """Batches of the epoch that were read."""


def batches_from(
    start: Position, examples: Examples | ImageExamples, *, batch_tokens: int, seed: int
) -> Iterator[tuple[Batch, Position]]:
    """Batches without end, each with the position after it. The same start gives the same batches."""
    epoch, first = start
    while True:
        plan = plan_batches(
            examples.source_lengths,
            examples.target_lengths,
            batch_tokens=batch_tokens,
            seed=seed,
            epoch=epoch,
        )
        for number, indices in enumerate(plan[first:], start=first + 1):
            if number % LET_GO_EVERY == 1:  # at once, too: the plan has read all lengths
                examples.let_go()
            yield collate(examples, indices), Position(epoch, number)
        epoch, first = epoch + 1, 0
