"""How commands print: text for people, one JSON object for programs."""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atonce.errors import DiskError, reason

WIDEST_TABLE = 200
"""Columns of a terminal: more than any table of ours has, but for that of `measure` at many lengths."""
# Tables are for people and their scripts: cut to the width of a terminal, a number would be lost.

if TYPE_CHECKING:
    from rich.console import Console

    from atonce.evaluation.scores import Scores
    from atonce.figures.figure import Figure


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print_text(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """Text on stdout, as it is."""
    with writing():
        print(text, flush=True)  # or a full disk would only be noticed at exit, where nobody can be told


def print_scores(systems: Mapping[str, "Scores"]) -> None:
    """A table of scores, one row for each system, with the signatures below it. All are of one kind."""
    first = next(iter(systems.values()))
    rows = [
        (name, *(f"{number:.1f}" for number in scores.columns.values())) for name, scores in systems.items()
    ]
    print_table(("", *first.columns), rows)
    console = _console()
    with writing():
        console.print(first.scored)
        for metric, signature in first.signatures.items():
            console.print(f"  {metric}: {signature}")
        for name, scores in systems.items():
            for note in scores.notes:
                console.print(f"  note: {note}" if len(systems) == 1 else f"  note on {name}: {note}")


def respelt(references: int) -> str:
    """A note that so many references were compared in another spelling than they have."""
    return (
        f"{references:,} of the references were compared in another spelling than they have (white space, "
        "composed letters), as the run's vocabulary.normalization says."
    )


def save_figure(figure: "Figure", out: Path) -> None:
    """Write `figure` to `out`; a word that no font can draw is a warning on stderr."""
    from atonce.figures.fonts import FontWarning

    # Python would print the line of our code that warned as well.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FontWarning)
        figure.save(out)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout: the first column says what a row is of, the others are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(header):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    with writing():
        _console().print(table)


def _console() -> "Console":
    """Where tables are printed: never so narrow that a number is cut. On a terminal, long lines wrap."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.width = max(console.width, WIDEST_TABLE)
    return console


@contextmanager
def writing() -> Iterator[None]:
    """Within the block, a full disk that stdout goes to is a DiskError."""
    try:
        yield
    except BrokenPipeError:  # `| head` has read enough: no fault, and `main` ends quietly
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left would fail at exit
        raise DiskError(
            "cannot write the output",
            why=reason(error),
            fix="make room or send it to another place, then run the same command again",
        ) from error
