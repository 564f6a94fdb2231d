"""`atonce heatmap`: what a model looks at in a text or in an image."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def heatmap(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    text: Annotated[str, typer.Argument(help="The text to translate; an image file if RUN reads images.")],
    out: Annotated[Path, typer.Option(help="File to write: .png, .svg, .pdf, .html or .json.")],
    target: Annotated[str | None, typer.Option(help="Force this output: a text, or a label.")] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Number of a layer that looks at the source, a layer's name, or mean."),
    ] = None,
    head: Annotated[str, typer.Option(help="Number of the head, mean, max, or all for a grid.")] = "mean",
    words: Annotated[bool, typer.Option("--words/--tokens", help="Merge tokens of texts to words.")] = True,
    end: Annotated[
        Literal["shown", "hidden", "renormalised"],
        typer.Option(help="The column of the end of the sentence; renormalised: the rest sums to one."),
    ] = "shown",
) -> None:
    """Draw what a model looks at while it translates a text, or reads or classifies an image."""
    from atonce.cli.figures import save
    from atonce.cli.output import print_text
    from atonce.figures.figure import check_format

    check_format(out, "heat map")

    from atonce.explain.api import heatmap as draw

    figure = draw(run, text, target=target, layer=layer, head=head, words=words, end=end)
    save(figure, out)
    print_text(f"{figure.output}\n{out}")
