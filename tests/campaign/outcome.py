"""What came of one case of a campaign, and what an area of cases is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """One case: what was done, how it ended, and whether that is right."""

    number: int
    done: str
    """What was tried, short: who reads it can do it again by hand."""
    verdict: str
    """One of few, as they are counted: `ok`, `refused`, `422`, `500`, `traceback`, `hang`, …"""
    fine: bool
    detail: str = ""
    """Of a fault: the last lines of what was said."""


class Area(Protocol):
    """A module `tests/campaign/AREA.py`.

    A case is a pure function of seed and number, so that one that failed can be run again alone.
    """

    def run(self, folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
        """Run the cases of these numbers in `folder`, which is this process's own and empty at first."""
        ...
