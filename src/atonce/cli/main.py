"""The way into the command line, and every way out of it.

What the user can mend is three lines on stderr and exit code 2; Ctrl-C is exit code 130; who reads the output
and has had enough is no fault. Nothing else is imported before all of that holds.
"""

import os
import signal
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, NoReturn

from atonce.errors import AtonceError, of_the_system

NARROWEST, USUAL = 40, "80"
"""Columns of $COLUMNS that can be meant, and what is taken instead of fewer."""
LONGEST_LINE = 2_000
"""Characters of a line that says what was wrong: what was given may be of any length."""


def main() -> None:
    """Run the command line."""
    try:
        _open_streams()
        _give_room()
        from atonce.cli.app import UsageError, app, explained

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
    """stderr, of which nothing is lost but what the system does not take: a full disk, say."""

    def write(self, text: Any, /) -> int:
        """A training is worth more than what it says. That nobody reads any more is told, as ever."""
        try:
            return super().write(text) or 0
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(text).nbytes


def _open_streams() -> None:
    """Streams that can be used: open, waiting where they are full, in UTF-8 whatever the locale.

    One that is closed would give its number to the first file that is opened, and who writes to it would
    write into that. stdout is opened so that who prints is told.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY), number)
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
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a path may be no UTF-8


def _give_room() -> None:
    """Lines of some width: in $COLUMNS of 0 or 1 there would be nothing left of help and tables."""
    if (said := os.environ.get("COLUMNS")) is None:
        return
    given = int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0
    if given < NARROWEST:
        os.environ["COLUMNS"] = USUAL


def _leave_quietly(code: int) -> NoReturn:
    """End the process, and say nothing more: nobody reads it, or somebody waits for the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left would fail at exit
    sys.exit(code)


def _line(text: str) -> str:
    """What is printed in one line, and does nothing to a terminal."""
    line = " ".join(text.splitlines())
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]}…"
