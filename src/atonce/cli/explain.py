"""`atonce heatmap` and `atonce context`: what a model attends to, and what context does to a word."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from atonce.cli.options import MOST_SHOWN

if TYPE_CHECKING:
    from atonce.explain.context import Context


def heatmap(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    text: Annotated[str, typer.Argument(help="The text to translate; an image file if RUN reads images.")],
    out: Annotated[Path, typer.Option(help="File to write: .png, .svg, .pdf, .html or .json.")],
    target: Annotated[str | None, typer.Option(help="Force this output: a text, or a label.")] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Number of a cross-attention layer, a layer's name, or mean."),
    ] = None,
    head: Annotated[str, typer.Option(help="Number of the head, mean, max, or all for a grid.")] = "mean",
    words: Annotated[bool, typer.Option("--words/--tokens", help="Merge tokens of texts to words.")] = True,
    end: Annotated[
        Literal["shown", "hidden", "renormalised"],
        typer.Option(help="The column of the end of the sentence; renormalised: the rest sums to one."),
    ] = "shown",
) -> None:
    """Draw a model's attention while it translates a text, or reads or classifies an image."""
    from atonce.cli.output import print_text, save_figure
    from atonce.figures.figure import check_format

    # Before torch is imported and a model loaded: a wrong ending is told at once.
    check_format(out, "heat map")

    from atonce.explain.api import heatmap as draw

    figure = draw(run, text, target=target, layer=layer, head=head, words=words, end=end)
    save_figure(figure, out)
    print_text(f"{figure.output}\n{out}")


def context(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    word: Annotated[str, typer.Option(help="The word to search for.")],
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="A text, one sentence per line; by default the validation and test sources of RUN."
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Number of an encoder layer, 0 for the embedding; by default all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .png, .svg, .pdf, .html or .json.")] = None,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Ignore case.")] = False,
    uses: Annotated[
        int, typer.Option(help="Maximum uses of the word, the first ones.", min=2, max=MOST_SHOWN)
    ] = 300,
    nearest: Annotated[
        int, typer.Option(help="Nearest neighbours to show of each use.", min=0, max=MOST_SHOWN)
    ] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how context changes the vectors of a word, layer by layer and from which side."""
    from atonce.cli.output import print_json, print_text, save_figure
    from atonce.figures.figure import check_format

    if out is not None:
        check_format(out, "picture of context")

    from atonce.data.lines import read_lines
    from atonce.explain.context import context as look

    sentences = None if corpus is None else list(read_lines(corpus))
    found = look(run, word, sentences, layer=layer, ignore_case=ignore_case, most=uses)
    if out is not None:
        save_figure(found, out)
    if json:  # without the vectors, which are thousands of numbers: `--out FILE.json` has them
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
