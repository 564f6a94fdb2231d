"""`atonce measure`: what is computed at once, and what waits."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.studies.measurement.pictures import Picture

if TYPE_CHECKING:
    from atonce.result import Table
    from atonce.studies.measurement.claims import Claim
    from atonce.studies.measurement.measurement import Measurement

Watch = Callable[[str, int], Callable[[], None]]
"""Is told what begins and how many parts it has; gives what is called after each."""


def measure(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            help="Layers, architectures, run folders, or module:callable; without them, all layers and a "
            "model of each family."
        ),
    ] = None,
    lengths: Annotated[str, typer.Option(help="Lengths to count at.", metavar="N,N,…")] = "8,16,32,64",
    clock: Annotated[
        bool,
        typer.Option("--clock", help="Time them too, beside torch's own: minutes, on idle cores."),
    ] = False,
    clock_lengths: Annotated[
        str, typer.Option(help="Lengths to time at.", metavar="N,N,…")
    ] = "8,32,128,512,2048",
    claims: Annotated[
        bool, typer.Option("--claims", help="Check what lectures say of recurrence and attention.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write: .html (every picture), .png, .svg, .pdf, .md or .json."),
    ] = None,
    picture: Annotated[Picture, typer.Option(help="What a .png, .svg or .pdf shows.")] = "growth",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure how work, span and paths grow with the length: Table 1 of "Attention is all you need".

    Span is how many operations must wait for one another, however many processors there are.
    """
    from atonce.figures.figure import FORMATS, check_format

    chosen, timed = _numbers(lengths), _numbers(clock_lengths)
    if out is not None:
        check_format(out, "measurement", (*FORMATS, ".md"))
    if claims:
        _check_alone(subjects, out)
        _check_claims(json=json)
        return
    if picture == "clock" and not clock:
        _refuse_picture()

    with _bars(quiet=json) as watch:
        found = _measured(subjects, chosen, timed if clock else None, watch)
        if out is not None:
            _save(found, out, picture, watch)
    _print(found, out, json=json)


LONGEST = 100_000
"""Positions that something can be measured at: beyond, nothing of what is counted would be told in time."""
MOST_LENGTHS = 100


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Watch]:
    """A bar for each part of the work, one after another."""
    from atonce.progress import progress

    with ExitStack() as bars:

        def watch(what: str, total: int) -> Callable[[], None]:
            bars.pop_all().close()
            advance = bars.enter_context(progress(what, total=total, quiet=quiet))
            return lambda: advance(1)

        yield watch


def _measured(
    subjects: list[str] | None, lengths: list[int], timed: list[int] | None, watch: Watch
) -> "Measurement":
    from atonce.studies.measurement.measurement import measure as run

    return run(subjects, lengths, clock=False if timed is None else timed, watch=watch)


def _save(found: "Measurement", out: Path, picture: Picture, watch: Watch) -> None:
    """A picture, or with .html all of them; as .json and .md there is only the whole."""
    whole = out.suffix.lower() in (".html", ".json", ".md")
    if out.suffix.lower() == ".html" or (not whole and picture not in ("growth", "clock")):
        found.look(watch("Looking", found.rounds()))
    (found if whole else found.picture(picture)).save(out)


def _print(found: "Measurement", out: Path | None, *, json: bool) -> None:
    from atonce.cli.output import print_json, print_text

    if json:
        print_json(found.to_dict())
        return
    for table in found.tables():
        _print_table(table)
    for kind, names in found.measured.worst():
        print_text(f"Taken for the worst ({kind}): {', '.join(names)}")
    if out is not None:
        print_text(str(out))


def _numbers(text: str) -> list[int]:
    """Raises RecipeError for what is no list of whole numbers."""
    from atonce.errors import RecipeError

    try:
        lengths = [int(part) for part in text.split(",")]
        if not (len(lengths) <= MOST_LENGTHS and all(1 <= one <= LONGEST for one in lengths)):
            raise ValueError
    except ValueError:
        raise RecipeError(
            f"{text!r} are no lengths",
            why=f"it takes whole numbers from 1 to {LONGEST:,}, with commas, and {MOST_LENGTHS} at most",
            fix="--lengths 8,16,32,64",
        ) from None
    return lengths


def _check_alone(subjects: list[str] | None, out: Path | None) -> None:
    """Raises RecipeError for what `--claims` would leave out."""
    from atonce.errors import RecipeError

    if subjects or out is not None:
        raise RecipeError(
            "--claims takes nothing to measure and writes no file",
            why="the claims say themselves what they are about",
            fix="leave the rest out; for a file: atonce measure --claims --json > claims.json",
        )


def _refuse_picture() -> None:
    """Raises RecipeError."""
    from atonce.errors import RecipeError

    raise RecipeError("there is no picture of the clock", why="nothing is timed", fix="add --clock")


def _print_table(table: "Table") -> None:
    import rich.table
    from rich.console import Console

    from atonce.cli.output import table_console, writing

    drawn = rich.table.Table(box=None, pad_edge=False)
    for place, column in enumerate(table.header):
        drawn.add_column(column, justify="right" if place else "left")
    for row in table.rows:
        drawn.add_row(*row)
    with writing():
        console = Console(highlight=False, markup=False)
        console.print(table.title, style="bold")
        console.print(table.note)
        console.print()
        table_console().print(drawn)
        console.print()


def _check_claims(*, json: bool) -> None:
    from dataclasses import asdict

    from atonce.cli.output import print_json, print_text
    from atonce.progress import progress
    from atonce.studies.measurement.claims import CHECKS, claims

    with progress("Checking", total=len(CHECKS), quiet=json) as advance:
        found = list(claims(lambda: advance(1)))
    if json:
        print_json({"claims": [asdict(one) for one in found], "hold": all(one.holds for one in found)})
    else:
        print_text("\n\n".join(_told(one) for one in found))
    if not all(one.holds for one in found):
        raise typer.Exit(1)


def _told(claim: "Claim") -> str:
    lines = [f"{'holds' if claim.holds else 'DOES NOT HOLD'}  {claim.name}", f"  {claim.says}"]
    return "\n".join([*lines, *(f"    {line}" for line in claim.found)])
