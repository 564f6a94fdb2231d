"""Faults that a user can mend. Every one says what happened, why, and what to do.

AtonceError
 ├─ RecipeError     a recipe, or an option given on the command line, that cannot be
 ├─ DataError       a corpus that is missing, broken, empty or does not fit together
 ├─ RunError        a run folder that is missing, damaged, or of a newer format
 ├─ TrainingError   a training that cannot go on
 ├─ FigureError     a figure that cannot be drawn
 └─ DiskError       a file could not be written; what was there before is still there
"""


class AtonceError(Exception):
    """A fault the user can mend: what happened, why, and what to do about it.

    The command line prints these three lines without a traceback and exits with 2.
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}\n  why: {why}\n  fix: {fix}")
        self.what, self.why, self.fix = what, why, fix


class RecipeError(AtonceError):
    """A recipe, or an option given on the command line, that cannot be."""


class DataError(AtonceError):
    """A corpus that is missing, broken, empty or does not fit together."""


class RunError(AtonceError):
    """A run folder that is missing, damaged, or written by a newer version."""


class TrainingError(AtonceError):
    """A training that cannot go on. Its last checkpoint is whole."""


class FigureError(AtonceError):
    """A figure that cannot be drawn. Its numbers can be had all the same."""


class DiskError(AtonceError):
    """A file could not be written. What was there before is still there."""
