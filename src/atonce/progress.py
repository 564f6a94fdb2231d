"""Progress on stderr: only on a terminal, and only for work that takes longer than a moment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

PATIENCE_SECONDS = 2.0


@contextmanager
def progress(what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Within the block, a bar that says `what` is going on, if stderr is a terminal and it takes a while.

    Yields a function to call with how many more of `total` are done. The bar disappears at the end.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    bar = _bar(console, counting=total is not None)
    task = bar.add_task(what, total=total)
    # Most work is done before: a bar that flashes up says nothing.
    timer = Timer(PATIENCE_SECONDS, bar.start)
    timer.start()
    try:
        yield lambda done: bar.advance(task, done)
    finally:
        timer.cancel()
        timer.join()  # or the bar could start after it was stopped
        bar.stop()


def say(*lines: str) -> None:
    """Lines on stderr, beside whatever goes on there."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for line in lines:
        console.print(line)


def _bar(console: Console, *, counting: bool) -> Progress:
    counts = [MofNCompleteColumn()] if counting else []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *counts, TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)
