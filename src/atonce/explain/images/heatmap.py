"""What a model looked at in an image, as one figure that is the same in a paper, a notebook and a program."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.explain.images.figure import image_figure, percent
from atonce.explain.images.maps import ImageAttention, Occlusion
from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette
from atonce.result import HIDDEN, Table
from atonce.shapes import Float, UInt8

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False, repr=False)
class ImageHeatmap(Figure):
    """An image, what was made of it, and which of its cells that came from.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    kind = "atonce image heat map"
    noun = "heat map"

    image: UInt8[np.ndarray, "height width"] = field(metadata=HIDDEN)
    """From 0 (paper) to 255 (ink), as the model read it."""
    source: str
    """Where it is from: the name of its file."""
    output: str
    """The text that was read in it, or its label."""
    probability: float
    """What the model gave the output."""
    model: str
    """Whose attention it is, such as the name of the run."""
    attention: tuple[ImageAttention, ...]
    """One for each head shown; none where the model has no attention."""
    occlusion: Occlusion | None = None
    """Only of a label."""

    def __repr__(self) -> str:
        return f"<ImageHeatmap of {self.model}: {self.source!r} → {self.output!r}>"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return image_figure(
            self.image, self.model, self._answer(), self.attention, self.occlusion,
            palette,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The figure's data as plain lists, numbers and texts; of the image itself, its size.

        Weights are panels × rows × columns; a panel is a character read, or the one map of a label. Cell
        (r, c) covers the pixels from row r × cell height and column c × cell width on.
        """
        height, width = self.image.shape
        return super().to_dict() | {"image": {"height": height, "width": width}}

    def _answer(self) -> str:
        return f"{self.output} ({percent(self.probability)})"

    @property
    def title(self) -> str:
        """The title of its page."""
        return f"What {self.model} looked at"

    def facts(self) -> list[tuple[str, str]]:
        """The image's name and what was made of it."""
        return [("image", self.source), ("output", self._answer())]

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        titles = [one.title for one in self.attention]
        titles += [self.occlusion.title] if self.occlusion else []
        return f"Heat map over an image: {'; '.join(titles)}. The table has the same numbers."

    def tables(self) -> list[Table]:
        """The numbers of every cell, a table for each panel."""
        tables = [
            _table(f"{one.title}: {panel}" if panel else one.title, one.rule, weights)
            for one in self.attention
            for panel, weights in zip(one.panels, one.weights, strict=True)
        ]
        if self.occlusion is not None:
            tables.append(_table(self.occlusion.title, self.occlusion.rule, self.occlusion.falls))
        return tables

    def marks(self) -> int:
        """How many cells it has."""
        numbers = [one.weights for one in self.attention]
        numbers += [self.occlusion.falls] if self.occlusion else []
        return sum(one.size for one in numbers)


def _table(title: str, rule: str, numbers: Float[np.ndarray, "rows columns"]) -> Table:
    return Table(
        title,
        rule,
        ("row \\ column of cells", *map(str, range(1, numbers.shape[1] + 1))),
        tuple((str(row), *(f"{cell:.3f}" for cell in cells)) for row, cells in enumerate(numbers, start=1)),
    )
