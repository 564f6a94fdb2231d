"""What every figure of this package can do: show itself in a notebook, and save itself in any format."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atonce.disk import replacing
from atonce.errors import FigureError, RecipeError
from atonce.figures import fonts, labels, page
from atonce.figures.drawing_process import OF_ONE_USER, SHARED, DrawingLimits, TooMuchToDraw
from atonce.figures.style import DARK, LIGHT, Palette
from atonce.figures.vega import spec_of, vega_lite_version

if TYPE_CHECKING:
    import altair

FORMATS = (".png", ".svg", ".pdf", ".html", ".json")
"""What a figure can be saved as, by the ending of the file's name."""

MOST_MARKS = 100_000
"""Cells or points of a figure, at most: these take 0.7 GB and half a minute to draw."""
MOST_NUMBERS = 5_000_000
"""Of a figure's data, at most."""
_MOST_PIXELS = 30_000_000  # of a .png; a picture beyond would take gigabytes to draw


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

    def marks(self) -> int:
        """How many cells or points it has, where that depends on what it is of."""
        return 0

    def spec(self, palette: Palette = LIGHT) -> dict[str, Any]:
        """The figure as Vega-Lite, as it is drawn: JSON. Raises TooMuchToDraw for more than MOST_MARKS."""
        check_size(self.noun, self.marks(), MOST_MARKS)
        return spec_of(self.chart(palette))

    def to_html(self) -> str:
        """The figure as an HTML element, for a page with `page.STYLE` and, at its end, `page.script()`."""
        light, dark = (self.spec(palette) for palette in (LIGHT, DARK))
        return page.element(light, dark, self.label(), self.tables(), self.controls())

    def to_page(self) -> str:
        """The figure as a page that needs nothing else."""
        return page.whole_page(self.headline(), self.facts(), self.to_html())

    def save(self, path: str | Path) -> None:
        """Write the figure to `path`: .png, .svg, .pdf, .html (one offline file) or .json (data), as it ends.

        Raises RecipeError for another ending, FigureError if it cannot be drawn and DiskError if the file
        cannot be written; a file that was there before is then still whole. Warns (FontWarning) if a .png or
        .pdf lacks a font for some word, where that can be found out.
        """
        path = Path(path)
        suffix = check_format(path, self.noun, self.formats)
        content = self.rendered(suffix)
        with replacing(path) as partial:
            partial.write_bytes(content)
        if suffix in (".png", ".pdf"):
            with suppress(FigureError):  # the process that draws, which is asked, may die; the file is there
                fonts.warn_of_faults(labels.drawable(self.text()))

    def rendered(self, suffix: str, limits: DrawingLimits = OF_ONE_USER) -> bytes:
        """The figure as the file of this ending that `save` would write.

        `limits`: what drawing it may take. Raises FigureError.
        """
        if suffix == ".json":
            check_size(self.noun, self.marks(), MOST_NUMBERS)
            text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1)
            return (text + "\n").encode(errors="backslashreplace")  # half a surrogate pair, as JSON writes it
        if suffix == ".html":
            return self.to_page().encode()
        return self._drawn(suffix, limits)

    def _drawn(self, suffix: str, limits: DrawingLimits = OF_ONE_USER) -> bytes:
        """By the library that draws, which is let near this process nowhere else (`drawing_process`)."""
        scale = {"scale": min(2.0, math.sqrt(_MOST_PIXELS / self.area()))} if suffix == ".png" else {}
        return SHARED.ask(
            f"vegalite_to_{suffix[1:]}", limits, vl_spec=self.spec(), vl_version=vega_lite_version(), **scale
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Interactive where the notebook draws Vega-Lite by itself, else a picture. Never needs a network.

        What cannot be drawn is said in the text.
        """
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        try:
            spec = self.spec()
            bundle[f"application/vnd.vegalite.v{vega_lite_version().split('.')[0]}+json"] = spec
            bundle["image/svg+xml"] = self._drawn(".svg").decode()
        except FigureError as error:
            bundle["text/plain"] += f"\n{error}"
        return bundle


def check_size(noun: str, given: int, most: int) -> None:
    """Raises TooMuchToDraw if there are more cells or points than `most`."""
    if given > most:
        raise TooMuchToDraw(
            f"the {noun} is too large",
            why=f"it has {given:,} cells or points, and may have {most:,} in this format",
            fix="take less: a shorter text, one head, words in place of pieces"
            + (", or save it as .json" if given <= MOST_NUMBERS else ""),
        )


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
