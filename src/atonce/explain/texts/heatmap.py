"""What a model looked at in a text, as one figure that is the same in a paper, a notebook and a program."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from atonce.explain.texts.figure import figure
from atonce.explain.texts.words import AttentionMap
from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette
from atonce.result import Table

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False, repr=False)
class Heatmap(Figure):
    """One or more attention maps of a sentence: source words along the top, what was written down the left.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    kind = "atonce heat map"
    noun = "heat map"

    model: str = field(kw_only=True)
    """Whose attention it is, such as the name of the run."""
    source: str = field(kw_only=True)
    """The text that was read, whole."""
    output: str = field(kw_only=True)
    """The text that was written, whole."""
    maps: tuple[AttentionMap, ...]

    def __post_init__(self) -> None:
        if not self.maps:
            raise ValueError("a heat map needs at least one attention map")

    def __repr__(self) -> str:
        return f"<Heatmap of {self.model}: {self.source!r} → {self.output!r}>"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return figure(self.maps, self.model, palette)

    @property
    def title(self) -> str:
        """The title of its page."""
        return f"What {self.model} looked at"

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        titles = "; ".join(one.title for one in self.maps)
        return f"Heat map of {titles}. The table has the same numbers."

    def facts(self) -> list[tuple[str, str]]:
        """Both texts."""
        return [("source", self.source), ("output", self.output)]

    def tables(self) -> list[Table]:
        """The weights, a table for each map; the strongest of each row stands out."""
        return [_table(one) for one in self.maps]

    def marks(self) -> int:
        """How many cells it has."""
        return sum(one.weights.size for one in self.maps)


def _table(one: AttentionMap) -> Table:
    numbers = np.where(np.isnan(one.weights), 0.0, one.weights)
    strongest = (numbers > 0) & (numbers == numbers.max(1, keepdims=True, initial=0.0))
    return Table(
        one.title,
        one.rule,
        (f"{one.row_axis} \\ {one.column_axis}", *one.columns),
        tuple(
            (word, *("–" if np.isnan(weight) else f"{weight:.3f}" for weight in weights))
            for word, weights in zip(one.rows, one.weights, strict=True)
        ),
        strong={(row, column + 1) for row, column in np.argwhere(strongest).tolist()},
    )
