"""The entry point of the command line, and every way out of it.

An error that the user can mend is three lines on stderr and exit code 2; Ctrl-C is exit code 130; a reader of
the output that ends early (`| head`) is no error. Nothing else is imported before all of that holds.
"""

import os
import signal
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, NoReturn

from atonce.errors import AtonceError, of_the_system

NARROWEST, USUAL = 40, "80"
"""The fewest columns of $COLUMNS that are taken seriously, and what is used instead of fewer."""
LONGEST_LINE = 2_000
"""Characters of a line of an error: what the user gave, and it repeats, may be of any length."""


def main() -> None:
    """Run the command line."""
    try:
        _open_streams()
        _give_room()
        from atonce.cli.app import UsageError, app, explained

        # Not standalone: there typer would print errors itself, in a form of its own, and exit.
        try:
            code = app(prog_name="atonce", standalone_mode=False)
        except UsageError as error:
            raise explained(error) from None
        except (OSError, MemoryError, RuntimeError) as error:
            if (said := of_the_system(error)) is None:
                raise
            raise said from error
        sys.exit(code if isinstance(code, int) else 0)
    except AtonceError as error:
        lines = (f"error: {_line(error.what)}", f"  why: {_line(error.why)}", f"  fix: {_line(error.fix)}")
        print("\n".join(lines), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        _leave_quietly(1)
    except KeyboardInterrupt:
        _leave_quietly(130)


class _Messages(FileIO):
    """stderr, on which a write never fails for want of room."""

    def write(self, text: Any, /) -> int:
        """Write, or on a full disk drop the text."""
        # A training of hours is worth more than its messages.
        try:
            return super().write(text) or 0
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(text).nbytes  # as if it was written, or the buffer would try again and again


def _open_streams() -> None:
    """Make the streams usable: open, blocking, in UTF-8 whatever the locale.

    A closed stream would leave its number to the first file that is opened, and what is printed would go into
    that file. stdout is opened for reading only, so that a print fails instead of vanishing.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY), number)
        # Of a pipe that is shared with a program that does not block, this end does not block either: once it
        # is full, printing would fail.
        if hasattr(os, "set_blocking"):
            with suppress(OSError):
                os.set_blocking(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (the process's own)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None or (type(sys.stderr) is TextIOWrapper and sys.stderr.fileno() == 2):
        writer = BufferedWriter(_Messages(2, "w", closefd=False))
        sys.stderr = TextIOWrapper(writer, "utf-8", errors="backslashreplace", line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a path need not be UTF-8


def _give_room() -> None:
    """Set $COLUMNS to a usable width: in 0 or 1 there would be nothing left of help and tables."""
    if (said := os.environ.get("COLUMNS")) is None:
        return
    given = int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0
    if given < NARROWEST:
        os.environ["COLUMNS"] = USUAL


def _leave_quietly(code: int) -> NoReturn:
    """End the process without another message."""
    # A second Ctrl-C while Python ends would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left would fail at exit
    sys.exit(code)


def _line(text: str) -> str:
    """A text as one printable line."""
    # Escape sequences of a name or a file would move the cursor, or worse.
    line = " ".join(text.splitlines())
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]}…"
