"""`atonce context`: what context does to a word."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atonce.cli.options import MOST_SHOWN

if TYPE_CHECKING:
    from atonce.explain.context import Context


def context(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    word: Annotated[str, typer.Option(help="The word to look for.")],
    corpus: Annotated[
        Path | None,
        typer.Option(help="A text, one sentence a line. Without it, the sources RUN was tested on."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Number of a layer of the encoder, 0 for the embedding; else all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .png, .svg, .pdf, .html or .json.")] = None,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Take The for the.")] = False,
    uses: Annotated[
        int, typer.Option(help="Uses of the word to take, the first ones.", min=2, max=MOST_SHOWN)
    ] = 300,
    nearest: Annotated[int, typer.Option(help="Nearest uses to show of each.", min=0, max=MOST_SHOWN)] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how context changes the vectors of a word, layer by layer and from which side."""
    from atonce.cli.figures import save
    from atonce.cli.output import print_json, print_text
    from atonce.figures.figure import check_format

    if out is not None:
        check_format(out, "picture of context")

    from atonce.data.lines import read_lines
    from atonce.explain.context import context as look

    sentences = None if corpus is None else list(read_lines(corpus))
    found = look(run, word, sentences, layer=layer, ignore_case=ignore_case, most=uses)
    if out is not None:
        save(found, out)
    if json:
        print_json(found.summary(nearest=nearest))
    else:
        print_text("\n".join([*_layers(found), *(_neighbours(found, nearest) if nearest else [])]))


def _layers(found: "Context") -> list[str]:
    """A line for each layer."""
    return [
        f"“{found.word}”: {len(found.uses):,} uses in {found.searched:,} sentences",
        "",
        f"{'':12}{'share due to':>14}{'change by words on the':>26}",
        f"{'':12}{'context':>14}{'left':>15}{'right':>11}",
        *(
            f"{name:12}{one.share:>14.1%}{one.left:>15.3f}{one.right:>11.3f}"
            for name, one in found.influence.items()
        ),
    ]


def _neighbours(found: "Context", count: int) -> list[str]:
    """Every use with those nearest to it."""
    layer = found.shown[-1]
    lines = ["", f"Nearest uses in {layer}, by cosine similarity"]
    for number, use in enumerate(found.uses):
        lines += ["", use.marked]
        lines += [
            f"  {one.similarity:6.3f}  {one.use.marked}"
            for one in found.nearest(number, layer=layer, count=count)
        ]
    return lines
