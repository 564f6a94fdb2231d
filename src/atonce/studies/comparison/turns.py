"""Trainings that are compared, in turn: a machine that gets busier or freer does so for all of them.

Minutes of wall clock are equal budgets only where they are the same minutes. So each training has a slice of
its time, pauses, and goes on when the others have had theirs: it is resumed exactly, as any training can be.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from atonce.disk import copy_linked, disk_error, remove_partial
from atonce.models.architectures import Architecture
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe

# Slices and not CPU time: threads that wait for one another in a busy loop use that, too, so on a busy
# machine who waits most would get the least training.
SLICES = 12
"""Of each training. More would spread evenly what else the machine does, but each ends in a checkpoint."""
SHORTEST_SLICE = 15.0
"""Seconds: the first updates after a pause are slow."""
EQUAL = 1.05
"""Budgets that differ by no more than this factor are called equal."""


@dataclass(frozen=True)
class Entry:
    """One training among those that are compared."""

    model: Architecture
    run: Path
    name: str
    """What progress bars say."""


@runtime_checkable
class RunTrial(Protocol):
    """Brings a run to its end, or to a second of its training: `trial.run_trial`, or `measure` for it."""

    def __call__(self, run: Path, name: str, *, pause_at: float | None, quiet: bool) -> object:
        """`pause_at`: None to go to its end, which is when it has been scored and timed."""


def train_in_turn(
    entries: Sequence[Entry], recipe: Recipe, data: Path, run_trial: RunTrial, *, quiet: bool
) -> None:
    """Train the recipe with the model of each entry, on the same prepared `data`; score and time each.

    What is there of it already is gone on with. Raises what `run_trial` raises, and DiskError.
    """
    for entry in entries:
        _begin(entry.run, recipe.model_copy(update={"model": entry.model.model}), data)
    for number, pause_at in turns(len(entries), recipe.training.minutes):
        run_trial(entries[number].run, entries[number].name, pause_at=pause_at, quiet=quiet)


def _begin(run: Path, recipe: Recipe, data: Path) -> None:
    """Make a run folder with its own recipe and the data of all, unless it was begun before."""
    if (run / "recipe.toml").exists():
        remove_partial(run)
        return
    # The recipe is written last: a folder without it is that of a beginning that broke off.
    shutil.rmtree(run, ignore_errors=True)
    try:
        # Hard links where the disk has them: the data is stored once, and each run folder is whole on its
        # own.
        copy_linked(data, run)
    except OSError as error:
        raise disk_error(run, error) from error
    RunFolder.create(run, recipe)


def slices(minutes: float | None) -> int:
    """Into how many parts a training is cut.

    `minutes`: its time; None where its budget is a number of updates, which are as many in one go.
    """
    return 1 if minutes is None else max(1, min(SLICES, int(60 * minutes / SHORTEST_SLICE)))


def turns(trainings: int, minutes: float | None) -> Iterator[tuple[int, float | None]]:
    """Whose turn it is, by number, and at which second of its training it pauses; None: it goes to its end.

    In every other round the order is turned around.
    """
    count = slices(minutes)
    for number in range(1, count):
        assert minutes is not None
        # There and back: where a machine gets slower all the while, each is as often early as late.
        in_order = range(trainings) if number % 2 else reversed(range(trainings))
        yield from ((training, 60 * minutes * number / count) for training in in_order)
    # The last slice of each goes on to scoring and timing, which are no part of the budget.
    yield from ((training, None) for training in range(trainings))


def seconds_had(log: Sequence[dict[str, Any]]) -> float | None:
    """The time that a training had, by its log; None if it ended before its time was used, by `patience`."""
    last = log[-1]
    return float(last["seconds"]) if last.get("share", 1) == 1 else None


def unequal(seconds: Iterable[float | None], minutes: float) -> str | None:
    """What has to be said in place of claims where times differ by more than 5 %; None where they do not.

    They are compared with one another and with the `minutes` that each was to have.
    """
    # Who stopped early, by `patience`, had learned what there was to learn: no unequal budget.
    had = [one for one in seconds if one is not None]
    compared = [*had, 60 * minutes]
    if max(compared) <= EQUAL * min(compared):
        return None
    return (
        f"The models did not have the same budget of {minutes:g} minutes: they trained for "
        f"{min(had) / 60:.2f} to {max(had) / 60:.2f}. So nothing is said here of which is better or faster."
    )
