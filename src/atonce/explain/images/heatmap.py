"""What a model looked at in an image, as one figure that is the same in a paper, a notebook and a program."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.explain.images.figure import area, image_figure, percent
from atonce.explain.images.maps import ImageAttention, Occlusion
from atonce.figures.drawing import Drawing
from atonce.figures.style import LIGHT, Palette
from atonce.result import plain
from atonce.shapes import Float, UInt8

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False, repr=False)
class ImageHeatmap(Drawing):
    """An image, what was made of it, and which of its cells that came from.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    image: UInt8[np.ndarray, "height width"]
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

    noun = "heat map"

    def __repr__(self) -> str:
        return f"<ImageHeatmap of {self.model}: {self.source!r} → {self.output!r}>"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return image_figure(
            self.image, self.model, self._answer(), self.attention, self.occlusion,
            palette,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The figure's data as plain lists, numbers and texts.

        Weights are panels × rows × columns; a panel is a character read, or the one map of a label. Cell
        (r, c) covers the pixels from row r × cell height and column c × cell width on.
        """
        return {
            "kind": "atonce image heat map",
            "version": 1,
            "model": self.model,
            "source": self.source,
            "output": self.output,
            "probability": self.probability,
            "image": {"height": self.image.shape[0], "width": self.image.shape[1]},
            "attention": [
                {
                    "title": one.title,
                    "rule": one.rule,
                    "grid": list(one.weights.shape[1:]),
                    "cell": list(one.cell),
                    "panels": list(one.panels),
                    "probabilities": list(one.probabilities),
                    "weights": _lists(one.weights),
                }
                for one in self.attention
            ],
            "occlusion": None if self.occlusion is None else _occlusion_dict(self.occlusion),
        }

    def _answer(self) -> str:
        return f"{self.output} ({percent(self.probability)})"

    def headline(self) -> str:
        """The title of its page."""
        return f"What {self.model} looked at"

    def facts(self) -> list[tuple[str, str]]:
        """The image's name and what was made of it."""
        return [("image", self.source), ("output", self._answer())]

    def label(self) -> str:
        """What it shows, for who cannot see it."""
        titles = [one.title for one in self.attention]
        titles += [self.occlusion.title] if self.occlusion else []
        return f"Heat map over an image: {'; '.join(titles)}. The table has the same numbers."

    def tables(self) -> str:
        """The numbers of every cell, a table for each panel."""
        tables = [
            _table(f"{one.title}: {panel}" if panel else one.title, one.rule, weights)
            for one in self.attention
            for panel, weights in zip(one.panels, one.weights, strict=True)
        ]
        if self.occlusion is not None:
            tables.append(_table(self.occlusion.title, self.occlusion.rule, self.occlusion.falls))
        return "\n".join(tables)

    def area(self) -> float:
        """About how many square pixels it takes at its natural size."""
        return area(self.image, self.attention)

    def marks(self) -> int:
        """How many cells it has."""
        numbers = [one.weights for one in self.attention]
        numbers += [self.occlusion.falls] if self.occlusion else []
        return sum(one.size for one in numbers)

    def text(self) -> str:
        """Every character that appears on it."""
        panels = [panel for one in self.attention for panel in one.panels]
        return "".join([self.model, self.output, *panels])


def _occlusion_dict(one: Occlusion) -> dict[str, Any]:
    return {
        "title": one.title,
        "rule": one.rule,
        "label": one.label,
        "grid": list(one.falls.shape),
        "cell": list(one.cell),
        "falls": _lists(one.falls),
    }


def _lists(numbers: np.ndarray) -> Any:
    """An array as nested lists."""
    return [plain(one) for one in numbers] if numbers.ndim == 1 else [_lists(part) for part in numbers]


def _table(title: str, rule: str, numbers: Float[np.ndarray, "rows columns"]) -> str:
    columns = "".join(f'<th scope="col">{column}</th>' for column in range(1, numbers.shape[1] + 1))
    return (
        f"<table>\n<caption>{html.escape(title)} <span>{html.escape(rule)}</span></caption>\n"
        f"<thead><tr><th>row \\ column of cells</th>{columns}</tr></thead>\n"
        f"<tbody>\n{''.join(_rows(numbers))}</tbody>\n</table>"
    )


def _rows(numbers: Float[np.ndarray, "rows columns"]) -> Iterator[str]:
    for row, cells in enumerate(numbers, start=1):
        yield f'<tr><th scope="row">{row}</th>{"".join(f"<td>{cell:.3f}</td>" for cell in cells)}</tr>\n'
