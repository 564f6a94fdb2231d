"""Faults that a user can mend. Every one says what happened, why, and what to do.

AtonceError
 ├─ RecipeError     a recipe, or an option given on the command line, that cannot be
 ├─ DataError       a corpus that is missing, broken, empty or does not fit together
 ├─ RunError        a run folder that is missing, damaged, or of a newer format
 ├─ TrainingError   a training that cannot go on
 ├─ FigureError     a figure that cannot be drawn
 └─ DiskError       a file could not be written; what was there before is still there
"""

from typing import TypeVar


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


E = TypeVar("E", bound=AtonceError)

RESTORE = "restore it from a copy, or train again"


def reason(error: Exception) -> str:
    """What an error says; of one of the system, without its number and the path."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said or type(error).__name__


def damaged(what: object, why: str | Exception, *, fix: str = RESTORE) -> RunError:
    """What is not as it was stored. `why`: a sentence, or what was raised when it was read."""
    said = reason(why) if isinstance(why, Exception) else why
    return RunError(f"{what} is damaged", why=" ".join(said.split()) or "it cannot be read", fix=fix)


def unreadable(path: object, why: str | Exception, *, fix: str = "check the path", kind: type[E]) -> E:
    """A file that cannot be read, as a `kind` of error. `why`: a sentence, or what was raised."""
    return kind(f"cannot read {path}", why=reason(why) if isinstance(why, Exception) else why, fix=fix)


def wrong_task(what: object, wanted: str, trained_for: str, *, fix: str) -> RunError:
    """A run that was trained for something else than what is asked of it."""
    return RunError(f"{what} is not for {wanted}", why=f"it was trained for {trained_for}", fix=fix)


def not_installed(what: str, needs: str, extra: str, *, kind: type[E]) -> E:
    """What needs packages that an extra of atonce brings. `needs`: who needs which, as a sentence."""
    return kind(what, why=needs, fix=f"pip install 'atonce[{extra}]'")


def download_failed(what: str, why: str | Exception, *, otherwise: str) -> DataError:
    """`otherwise`: what else there is to do, than to check the network."""
    said = why if isinstance(why, str) else str(why).partition("\n")[0] or type(why).__name__
    return DataError(f"the download of {what} failed", why=said, fix=f"check the network{otherwise}")


def of_the_system(error: OSError | MemoryError | RuntimeError) -> AtonceError | None:
    """What to tell a user of a file or memory that the system refused; None for any other fault."""
    if isinstance(error, OSError):
        if error.filename is None:  # not about a file: a broken pipe, for one
            return None
        return DiskError(
            f"cannot use {error.filename}",
            why=reason(error),
            fix="check that it is there, of the right kind, and that it and its folders may be used by you",
        )
    said = str(error)
    # torch tells of too little memory by a RuntimeError, which may say anything else as well.
    known = "can't allocate memory" in said or "out of memory" in said.lower()
    if isinstance(error, RuntimeError) and not known:
        return None
    return RunError(
        "there is not enough memory",
        why=said.splitlines()[0] if said else "the system gives no more",
        fix="ask for less at a time: a smaller model, beam or batch, or shorter texts",
    )
