"""The progress bar of a training: on a terminal, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from atonce.evaluation.tasks import VALIDATED_TITLES
from atonce.training.callbacks import Callback, OnStep, TrainingEvent


@contextmanager
def progress_bar(name: str, *, quiet: bool = False) -> Iterator[Callback]:
    """Within the block, draw what the callback it yields is told, print a line for each validation; the first
    line says with how many threads it computes.

    Loss, target tokens in a second, padding share and the time left. When stderr is not a terminal only the
    validations are printed; `quiet` prints nothing.
    """
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
