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


def of_the_system(error: OSError | MemoryError | RuntimeError) -> AtonceError | None:
    """What to tell a user of a file or memory that the system refused; None for any other fault."""
    if isinstance(error, OSError):
        if error.filename is None:  # not about a file
            return None
        return DiskError(
            f"cannot use {error.filename}",
            why=error.strerror or str(error),
            fix="check that it is there, of the right kind, and that it and its folders may be used by you",
        )
    said = str(error)
    known = "can't allocate memory" in said or "out of memory" in said.lower()
    if isinstance(error, RuntimeError) and not known:
        return None
    return RunError(
        "there is not enough memory",
        why=said.splitlines()[0] if said else "the system gives no more",
        fix="ask for less at a time: a smaller model, beam or batch, or shorter texts",
    )
