"""`atonce measure`: work, span and paths of layers, models and programs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.studies.measurement import Picture

if TYPE_CHECKING:
    from atonce.result import Table
    from atonce.studies.measurement.claims import Claim
    from atonce.studies.measurement.measurement import Measurement

Progress = Callable[[str, int], Callable[[], None]]
"""Takes a title and a number of steps; returns a function to call after each step."""


def measure(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Layers, architectures, run folders, or module:callable; by default all layers and a "
            "model of each family."
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="Sequence lengths to count at.", metavar="N,N,…")
    ] = "8,16,32,64",
    clock: Annotated[
        bool,
        typer.Option(
            "--clock", help="Also time them, beside torch's own layers: takes minutes, on idle cores."
        ),
    ] = False,
    clock_lengths: Annotated[
        str, typer.Option(help="Sequence lengths to time at.", metavar="N,N,…")
    ] = "8,32,128,512,2048",
    claims: Annotated[
        bool, typer.Option("--claims", help="Check common statements about recurrence and attention.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write: .html (every figure), .png, .svg, .pdf, .md or .json."),
    ] = None,
    picture: Annotated[Picture, typer.Option(help="The figure in a .png, .svg or .pdf.")] = "growth",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure how work, span and paths grow with the length: Table 1 of "Attention is all you need".

    Span is the longest chain of operations that wait for one another, however many processors there are.
    """
    from atonce.figures.figure import FORMATS, check_format

    # All of it before anything is measured, which takes minutes.
    chosen, timed = _numbers("--lengths", lengths), _numbers("--clock-lengths", clock_lengths)
    if out is not None:
        check_format(out, "measurement", (*FORMATS, ".md"))
    if claims:
        _check_alone(targets, out)
        _check_claims(json=json)
        return
    if picture == "clock" and not clock:
        _refuse_picture()

    with _bars(quiet=json) as progress:
        found = _measured(targets, chosen, timed if clock else None, progress)
        if out is not None:
            _save(found, out, picture, progress)
    _print(found, out, json=json)


LONGEST = 100_000
"""Longest sequence to measure: beyond it, counting would not end in time."""
MOST_LENGTHS = 100


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Progress]:
    """A bar for each part of the work, one after another."""
    from atonce.progress import progress

    with ExitStack() as bars:

        def begin(what: str, total: int) -> Callable[[], None]:
            bars.pop_all().close()
            advance = bars.enter_context(progress(what, total=total, quiet=quiet))
            return lambda: advance(1)

        yield begin


def _measured(
    targets: list[str] | None, lengths: list[int], timed: list[int] | None, progress: Progress
) -> "Measurement":
    from atonce.studies.measurement.measurement import measure as run

    return run(targets, lengths, clock=False if timed is None else timed, progress=progress)


def _save(found: "Measurement", out: Path, picture: Picture, progress: Progress) -> None:
    """One figure, or with .html all of them; .json and .md are always of the whole."""
    whole = out.suffix.lower() in (".html", ".json", ".md")
    if out.suffix.lower() == ".html" or (not whole and picture not in ("growth", "clock")):
        found.look(progress("Measuring figures", found.rounds()))
    (found if whole else found.picture(picture)).save(out)


def _print(found: "Measurement", out: Path | None, *, json: bool) -> None:
    from atonce.cli.output import print_json, print_text

    if json:
        print_json(found.to_dict())
        return
    for table in found.tables():
        _print_titled(table)
    for kind, names in found.growth.worst():
        # Named, as their span may be counted too long: nothing is taken for the worst in silence.
        print_text(f"Taken for the worst ({kind}): {', '.join(names)}")
    if out is not None:
        print_text(str(out))


def _numbers(option: str, text: str) -> list[int]:
    """The numbers of a list. Raises RecipeError for anything but whole numbers within bounds."""
    from atonce.errors import RecipeError

    try:
        lengths = [int(part) for part in text.split(",")]
        if not (len(lengths) <= MOST_LENGTHS and all(1 <= one <= LONGEST for one in lengths)):
            raise ValueError
    except ValueError:
        raise RecipeError(
            f"invalid {option} {text!r}",
            why=f"it takes whole numbers from 1 to {LONGEST:,}, separated by commas, at most {MOST_LENGTHS}",
            fix=f"for example: {option} 8,16,32,64",
        ) from None
    return lengths


def _check_alone(targets: list[str] | None, out: Path | None) -> None:
    """Raises RecipeError for arguments that `--claims` would ignore."""
    from atonce.errors import RecipeError

    if targets or out is not None:
        raise RecipeError(
            "--claims takes no targets and no --out",
            why="the claims name what they are about themselves",
            fix="leave the rest out; for a file: atonce measure --claims --json > claims.json",
        )


def _refuse_picture() -> None:
    """Raises RecipeError."""
    from atonce.errors import RecipeError

    raise RecipeError("there is no figure of the clock", why="nothing is timed", fix="add --clock")


def _print_titled(table: "Table") -> None:
    from rich.console import Console

    from atonce.cli.output import print_table, writing

    console = Console(highlight=False, markup=False)  # of the terminal's width, so that notes wrap
    with writing():
        console.print(table.title, style="bold")
        console.print(table.note)
        console.print()
    print_table(table.header, table.rows)
    with writing():
        console.print()


def _check_claims(*, json: bool) -> None:
    from atonce.cli.output import print_json, print_text
    from atonce.progress import progress
    from atonce.studies.measurement.claims import CHECKS, claims

    with progress("Checking", total=len(CHECKS), quiet=json) as advance:
        found = list(claims(lambda: advance(1)))
    if json:
        print_json({"claims": [one.to_dict() for one in found], "hold": all(one.holds for one in found)})
    else:
        print_text("\n\n".join(_told(one) for one in found))
    if not all(one.holds for one in found):
        raise typer.Exit(1)  # so that a script can tell; 2 is for what the user can mend


def _told(claim: "Claim") -> str:
    lines = [f"{'holds' if claim.holds else 'DOES NOT HOLD'}  {claim.name}", f"  {claim.says}"]
    return "\n".join([*lines, *(f"    {line}" for line in claim.found)])
