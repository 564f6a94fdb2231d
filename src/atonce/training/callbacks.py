"""What whoever watches a training is told, after each step, at each validation and at its end; and those who
always watch: the log of the program, and the progress bar on a terminal.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from atonce.evaluation.tasks import VALIDATED_TITLES
from atonce.models.threads import Threads
from atonce.training.loop import Update

LOGGER = logging.getLogger("atonce")
"""Each validation is told there (INFO), for programs that train with atonce."""


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


@dataclass(frozen=True)
class TrainingEvent:
    """Where a training stands after a step."""

    update: Update
    planned_steps: int | None
    """Updates in all; of a time budget, as many as are expected now."""
    share: float
    """How much of the budget is used, from 0 to 1."""
    tokens_per_second: float
    """Target tokens learned from in a second, lately, validation not counted."""
    validation: Validation | None
    """Where this step ended with one."""
    threads: Threads | None = None
    """What a CPU computes with."""
    seconds: float = 0.0
    """Since the training began, earlier sessions and this step's validation included."""
    padding_share: float = 0.0
    """Share of positions that were padding, lately."""
    skipped: int = 0
    """Steps so far with a loss or gradient that was not finite."""

    def to_dict(self) -> Mapping[str, Any]:
        """The numbers as a line of `log.jsonl` has them; None for those that are not finite."""
        update, validation = self.update, self.validation
        scores: dict[str, float] = (
            {"valid_loss": validation.loss, f"valid_{validation.metric}": validation.score}
            if validation
            else {}
        )
        return {
            "step": update.step,
            "seconds": round(self.seconds, 3),
            "loss": _finite(update.loss),
            "rate_factor": update.rate_factor,
            "gradient_norm": _finite(update.gradient_norm),
            "target_tokens_per_second": round(self.tokens_per_second, 1),
            "padding_share": round(self.padding_share, 4),
            "epoch": update.position.epoch,
            "skipped": self.skipped,
            "threads": self.threads.count if self.threads else 0,
            "planned_steps": self.planned_steps,
            "share": round(self.share, 5),
            **{name: _finite(value) for name, value in scores.items()},
        }


class Callback:
    """What `train(..., callbacks=[...])` takes. Derive a class from it, with the methods that you need.

    What a method raises ends the training, which can be resumed from its last checkpoint.
    """

    def on_step(self, event: TrainingEvent) -> None:
        """After each update."""

    def on_validation(self, event: TrainingEvent) -> None:
        """After each update that ended with a validation, before `on_step`; `event.validation` has it."""

    def on_end(self, event: TrainingEvent) -> None:
        """After the last update of this session, also where it broke off; not where there was none."""


class OnStep(Callback):
    """A function that is called after each update."""

    def __init__(self, function: Callable[[TrainingEvent], object]) -> None:
        self._function = function

    def on_step(self, event: TrainingEvent) -> None:
        """Call it."""
        self._function(event)


class LogProgress(Callback):
    """Tells `LOGGER`. The command line does not listen: it has a bar of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def on_validation(self, event: TrainingEvent) -> None:
        """Step, loss and score."""
        if found := event.validation:
            LOGGER.info(
                "%s: step %d of %s, loss %.3f, validation loss %.3f, %s %.1f",
                self._name, event.update.step, event.planned_steps or "?", event.update.loss, found.loss,
                VALIDATED_TITLES[found.metric], found.score,
            )  # fmt: skip


@contextmanager
def progress_bar(name: str, *, quiet: bool = False) -> Iterator[Callback]:
    """Within the block, draw what the callback it yields is told, print a line for each validation; the first
    line says with how many threads it computes.

    Loss, target tokens in a second, padding share and the time left. When stderr is not a terminal only the
    validations are printed; `quiet` prints nothing.
    """
    # stdout is for results. Without markup: the name of a run may hold brackets.
    console = Console(stderr=True, quiet=quiet, highlight=False, markup=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[numbers]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None, numbers="")

        def show(event: TrainingEvent) -> None:
            update = event.update
            if update.step == 1 and event.threads:
                console.print(f"{name} · computing on {event.threads}", soft_wrap=True)
            numbers = (
                f"loss {update.loss:.3f} · {event.tokens_per_second:,.0f} tokens/s · "
                f"{update.padding_share:.1%} padding"
            )
            progress.update(task, total=1.0, completed=event.share, numbers=numbers)
            if event.validation:
                console.print(
                    f"{name} · step {update.step} · {event.share:.0%} · {update.seconds:.0f} s · "
                    f"{numbers} · validation loss {event.validation.loss:.3f}, "
                    f"{VALIDATED_TITLES[event.validation.metric]} {event.validation.score:.1f}",
                    soft_wrap=True,
                )

        yield OnStep(show)


@contextmanager
def told_at_the_end(callbacks: "list[Callback]") -> Iterator[Callable[[TrainingEvent], None]]:
    """Within the block, what is yielded tells all of them of a step; after it, they are told of the end."""
    last: TrainingEvent | None = None

    def tell(event: TrainingEvent) -> None:
        nonlocal last
        last = event
        for callback in callbacks:
            if event.validation:
                callback.on_validation(event)
            callback.on_step(event)

    try:
        yield tell
    finally:
        # Also where the training broke off: what a callback has opened, it closes in `on_end`.
        if last is not None:
            for callback in callbacks:
                callback.on_end(last)


def _finite(value: float) -> float | None:
    """JSON has no word for the others."""
    return value if math.isfinite(value) else None


MEMORY = 0.97
"""Share that a running mean keeps at each step: it looks back over some tens of them."""


class Speed:
    """Running means of the target tokens learned from in a second, and of the padding."""

    def __init__(self) -> None:
        self.tokens = self.seconds = self.padding_share = 0.0
        self._last = time.perf_counter()

    def count(self, update: Update) -> None:
        """Take in one more step."""
        now = time.perf_counter()
        # A mean that began at zero would be too low for the first hundred steps.
        keep = MEMORY if self.seconds else 0.0
        self.tokens = keep * self.tokens + (1 - keep) * update.target_tokens
        self.seconds = keep * self.seconds + (1 - keep) * (now - self._last)
        self.padding_share = keep * self.padding_share + (1 - keep) * update.padding_share
        self._last = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block, the clock stands."""
        began = time.perf_counter()
        yield
        self._last += time.perf_counter() - began

    @property
    def tokens_per_second(self) -> float:
        """0 before the first step."""
        return self.tokens / self.seconds if self.seconds else 0.0
