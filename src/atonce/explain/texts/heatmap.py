"""What a model looked at in a text, as one figure that is the same in a paper, a notebook and a program."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.explain.texts.figure import area, figure
from atonce.explain.texts.words import AttentionMap
from atonce.figures.drawing import Drawing
from atonce.figures.style import LIGHT, Palette
from atonce.result import plain

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False, repr=False)
class Heatmap(Drawing):
    """One or more attention maps of a sentence: source words along the top, what was written down the left.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    maps: tuple[AttentionMap, ...]
    source: str
    """The text that was read, whole."""
    output: str
    """The text that was written, whole."""
    model: str
    """Whose attention it is, such as the name of the run."""

    noun = "heat map"

    def __post_init__(self) -> None:
        if not self.maps:
            raise ValueError("a heat map needs at least one attention map")

    def __repr__(self) -> str:
        return f"<Heatmap of {self.model}: {self.source!r} → {self.output!r}>"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return figure(self.maps, self.model, palette)

    def to_dict(self) -> dict[str, Any]:
        """The figure's data as plain lists, numbers and texts. NaN becomes None."""
        return {
            "kind": "atonce heat map",
            "version": 1,
            "model": self.model,
            "source": self.source,
            "output": self.output,
            "maps": [
                {
                    "title": one.title,
                    "rule": one.rule,
                    "row_axis": one.row_axis,
                    "column_axis": one.column_axis,
                    "rows": list(one.rows),
                    "columns": list(one.columns),
                    "weights": [[plain(weight) for weight in row] for row in one.weights],
                }
                for one in self.maps
            ],
        }

    def headline(self) -> str:
        """The title of its page."""
        return f"What {self.model} looked at"

    def facts(self) -> list[tuple[str, str]]:
        """Both texts."""
        return [("source", self.source), ("output", self.output)]

    def label(self) -> str:
        """What it shows, for who cannot see it."""
        titles = "; ".join(one.title for one in self.maps)
        return f"Heat map of {titles}. The table has the same numbers."

    def tables(self) -> str:
        """The weights, a table for each map."""
        return "\n".join(_table(one) for one in self.maps)

    def area(self) -> float:
        """About how many square pixels it takes at its natural size."""
        return area(self.maps)

    def marks(self) -> int:
        """How many cells it has."""
        return sum(one.weights.size for one in self.maps)

    def text(self) -> str:
        """Every character that appears on it."""
        parts = [self.model]
        for one in self.maps:
            parts += [one.title, one.rule, *one.rows, *one.columns]
        return "".join(parts)


def _table(one: AttentionMap) -> str:
    columns = "".join(f'<th scope="col" dir="auto">{html.escape(word)}</th>' for word in one.columns)
    corner = html.escape(f"{one.row_axis} \\ {one.column_axis}")
    return (
        f"<table>\n<caption>{html.escape(one.title)} <span>{html.escape(one.rule)}</span></caption>\n"
        f"<thead><tr><th>{corner}</th>{columns}</tr></thead>\n"
        f"<tbody>\n{''.join(_rows(one))}</tbody>\n</table>"
    )


def _rows(one: AttentionMap) -> Iterator[str]:
    for word, weights in zip(one.rows, one.weights, strict=True):
        strongest = np.nanmax(weights) if np.isfinite(weights).any() else np.nan
        cells = "".join(
            f"<td{' class=strongest' if weight == strongest and weight > 0 else ''}>{_number(weight)}</td>"
            for weight in weights
        )
        yield f'<tr><th scope="row" dir="auto">{html.escape(word)}</th>{cells}</tr>\n'


def _number(weight: np.floating) -> str:
    return "–" if np.isnan(weight) else f"{weight:.3f}"
