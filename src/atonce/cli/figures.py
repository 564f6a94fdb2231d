"""How commands save figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from atonce.figures.figure import Figure


def save(figure: "Figure", out: Path) -> None:
    """Write `figure` to `out`; a word that no font can draw is a warning on stderr."""
    import warnings

    from atonce.figures.fonts import FontWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FontWarning)
        figure.save(out)
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)
