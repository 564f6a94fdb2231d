"""`atonce heatmap`: what a model looks at while it translates."""

from pathlib import Path
from typing import Annotated

import typer


def heatmap(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    text: Annotated[str, typer.Argument(help="The text to translate.")],
    out: Annotated[Path, typer.Option(help="File to write: .png, .svg, .pdf, .html or .json.")],
    target: Annotated[str | None, typer.Option(help="Force this translation.")] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Number of a layer that looks at the source, a layer's name, or mean."),
    ] = None,
    head: Annotated[str, typer.Option(help="Number of the head, mean, or all for a grid.")] = "mean",
    words: Annotated[bool, typer.Option("--words/--pieces", help="Merge pieces to words.")] = True,
) -> None:
    """Draw the attention weights of one translation."""
    import warnings

    from atonce.cli.output import print_text
    from atonce.explain.fonts import FontWarning
    from atonce.explain.heatmap import check_format

    check_format(out)

    from atonce.explain.translation import heatmap as draw

    figure = draw(run, text, target=target, layer=layer, head=head, words=words)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FontWarning)
        figure.save(out)
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)
    print_text(f"{figure.output}\n{out}")
