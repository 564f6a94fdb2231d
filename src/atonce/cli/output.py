"""How commands print: text for people, one JSON object for programs."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from atonce.errors import DiskError, reason

WIDEST_TABLE = 200
"""Columns of a terminal: more than any table of ours has, but for that of `measure` at many lengths."""

if TYPE_CHECKING:
    from rich.console import Console

    from atonce.evaluation.scores import Scores


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print_text(json.dumps(value, ensure_ascii=False))


def print_text(text: str) -> None:
    """Text on stdout, as it is."""
    with writing():
        print(text, flush=True)


def print_scores(systems: Mapping[str, "Scores"]) -> None:
    """A table of scores, one row for each system, with the signatures below it. All are of one kind."""
    from rich.table import Table

    first = next(iter(systems.values()))
    table = Table(box=None, pad_edge=False)
    for column in ("", *first.columns):
        table.add_column(column, justify="right" if column else "left")
    for name, scores in systems.items():
        table.add_row(name, *(f"{number:.1f}" for number in scores.columns.values()))
    console = table_console()
    with writing():
        console.print(table)
        console.print(first.scored)
        for metric, signature in first.signatures.items():
            console.print(f"  {metric}: {signature}")
        for name, scores in systems.items():
            for note in scores.notes:
                console.print(f"  note: {note}" if len(systems) == 1 else f"  note on {name}: {note}")


def respelt(references: int) -> str:
    """What to say where so many references were compared in another spelling than they have."""
    return (
        f"{references:,} of the references were compared in another spelling than they have (white space, "
        "composed letters), as the run's vocabulary.normalization says."
    )


def table_console() -> "Console":
    """Where tables are printed: never so narrow that a figure is cut. On a terminal, long lines wrap."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.width = max(console.width, WIDEST_TABLE)
    return console


@contextmanager
def writing() -> Iterator[None]:
    """Within the block, a full disk that stdout goes to is a DiskError."""
    try:
        yield
    except BrokenPipeError:  # whoever read it has had enough
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left would fail at exit
        raise DiskError(
            "cannot write the output",
            why=reason(error),
            fix="make room or send it to another place, then run the same command again",
        ) from error
