"""What every figure of this package can do: show itself in a notebook, and save itself in any format."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.disk import replacing
from atonce.errors import RecipeError
from atonce.figures import fonts, page
from atonce.figures.style import DARK, LIGHT, Palette
from atonce.figures.vega import vega_lite_version

if TYPE_CHECKING:
    import altair

FORMATS = (".png", ".svg", ".pdf", ".html", ".json")
"""What a figure can be saved as, by the ending of the file's name."""

_MOST_PIXELS = 60_000_000  # of a .png; a picture beyond would take gigabytes to draw


class Drawing(ABC):
    """A figure with its numbers. A subclass says what it shows; every format is made here, of one chart."""

    noun = "figure"
    """What messages call it."""
    formats: Sequence[str] = FORMATS
    """What it can be saved as."""

    @abstractmethod
    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The figure's data as plain lists, numbers and texts. NaN becomes None."""

    @abstractmethod
    def headline(self) -> str:
        """The title of its page."""

    @abstractmethod
    def facts(self) -> Sequence[tuple[str, str]]:
        """What its page says before the figure: names and texts."""

    @abstractmethod
    def label(self) -> str:
        """What it shows, for who cannot see it."""

    @abstractmethod
    def tables(self) -> str:
        """Its numbers as HTML tables."""

    def controls(self) -> str:
        """What sets its parameters on a page: HTML of `player`; nothing, where it has none."""
        return ""

    @abstractmethod
    def area(self) -> float:
        """About how many square pixels it takes at its natural size."""

    @abstractmethod
    def text(self) -> str:
        """Every character that appears on it."""

    def to_html(self) -> str:
        """The figure as an HTML element, for a page with `page.STYLE` and, at its end, `page.script()`."""
        light, dark = (dict(self.chart(palette).to_dict()) for palette in (LIGHT, DARK))
        return page.element(light, dark, self.label(), self.tables(), self.controls())

    def to_page(self) -> str:
        """The figure as a page that needs nothing else."""
        return page.whole_page(self.headline(), self.facts(), self.to_html())

    def save(self, path: str | Path) -> None:
        """Write the figure to `path`: .png, .svg, .pdf, .html (one offline file) or .json (data), as it ends.

        Raises RecipeError for another ending and DiskError if the file cannot be written; a file that was
        there before is then still whole. Warns (FontWarning) if a .png or .pdf lacks a font for some word.
        """
        path = Path(path)
        content = self.rendered(check_format(path, self.noun, self.formats))
        with replacing(path) as partial:
            partial.write_bytes(content)

    def rendered(self, suffix: str) -> bytes:
        """The figure as the file of this ending that `save` would write."""
        if suffix == ".json":
            return (json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n").encode()
        if suffix == ".html":
            return self.to_page().encode()
        return self._drawn(suffix)

    def _drawn(self, suffix: str) -> bytes:
        import vl_convert

        spec = self.chart().to_dict()
        if suffix == ".svg":
            return str(vl_convert.vegalite_to_svg(spec, vl_version=vega_lite_version())).encode()
        fonts.warn_of_faults(self.text())
        if suffix == ".pdf":
            return bytes(vl_convert.vegalite_to_pdf(spec, vl_version=vega_lite_version()))
        scale = min(2.0, math.sqrt(_MOST_PIXELS / self.area()))
        return bytes(vl_convert.vegalite_to_png(spec, vl_version=vega_lite_version(), scale=scale))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Interactive where the notebook draws Vega-Lite by itself, else a picture. Never needs a network."""
        major = vega_lite_version().split(".")[0]
        return {
            f"application/vnd.vegalite.v{major}+json": self.chart().to_dict(),
            "image/svg+xml": self._drawn(".svg").decode(),
            "text/plain": repr(self),
        }


def check_format(path: Path, noun: str, formats: Sequence[str] = FORMATS) -> str:
    """The ending of `path`, in small letters. Raises RecipeError if it is none of `formats`.

    `noun`: what is to be saved, such as "heat map".
    """
    suffix = path.suffix.lower()
    if suffix not in formats:
        raise RecipeError(
            f"cannot save a {noun} as {path.name!r}",
            why=f"the ending {suffix!r} is not a format it has" if suffix else "the name has no ending",
            fix=f"end the name in one of {', '.join(formats)}",
        )
    return suffix


def plain(number: np.floating[Any]) -> float | None:
    """A number as JSON has it; NaN is None."""
    # Through text: the shortest decimal that gives the same float32, 0.1 and not 0.10000000149011612.
    return None if np.isnan(number) else float(str(number))
