"""Trainings that are to be compared, in turn: a machine that gets busier or freer does so for all of them.

Minutes of wall clock are equal budgets only where they are the same minutes. So each training has a slice of
its time, pauses, and goes on when the others have had theirs: it is resumed exactly, as any training can be.
"""

from collections.abc import Iterable, Iterator
from typing import Any

SLICES = 12
"""Of each training."""
SHORTEST_SLICE = 15.0
"""Seconds: the first updates after a pause are slow."""
EQUAL = 1.05
"""Budgets that differ by no more than this factor are called equal."""


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
        in_order = range(trainings) if number % 2 else reversed(range(trainings))
        yield from ((training, 60 * minutes * number / count) for training in in_order)
    yield from ((training, None) for training in range(trainings))


def seconds_had(log: list[dict[str, Any]]) -> float | None:
    """The time that a training had, by its log; None if it ended before its time was used, by `patience`."""
    last = log[-1]
    return float(last["seconds"]) if last.get("share", 1) == 1 else None


def unequal(seconds: Iterable[float | None], minutes: float) -> str | None:
    """What has to be said in place of claims where times differ by more than 5 %; None where they do not.

    They are compared with one another and with the `minutes` that each was to have.
    """
    had = [one for one in seconds if one is not None]
    compared = [*had, 60 * minutes]
    if max(compared) <= EQUAL * min(compared):
        return None
    return (
        f"The models did not have the same budget of {minutes:g} minutes: they trained for "
        f"{min(had) / 60:.2f} to {max(had) / 60:.2f}. So nothing is said here of which is better or faster."
    )
