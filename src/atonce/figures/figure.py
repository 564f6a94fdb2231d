"""The base of all figures: they show themselves in a notebook, and save themselves in any format."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from atonce.disk import replacing
from atonce.errors import FigureError, RecipeError
from atonce.figures import fonts, labels, page
from atonce.figures.drawing_process import OF_ONE_USER, SHARED, DrawingLimits, TooMuchToDraw
from atonce.figures.style import DARK, LIGHT, Palette
from atonce.figures.vega import spec_of, vega_lite_version
from atonce.result import Result

if TYPE_CHECKING:
    import altair

FORMATS = (".png", ".svg", ".pdf", ".html", ".json")
"""What a figure can be saved as, by the ending of the file's name."""

MOST_MARKS = 100_000
"""Cells or points of a figure, at most: these take 0.7 GB and half a minute to draw."""
MOST_NUMBERS = 5_000_000
"""Of a figure's data, at most."""
_MOST_PIXELS = 30_000_000  # of a .png; a picture beyond would take gigabytes to draw


class Figure(Result, ABC):
    """A result that is drawn: shows itself in a notebook, and saves itself in any format.

    A subclass has `chart`, `title` and `alt_text`; every format is made here, of the one chart.
    """

    noun: ClassVar[str] = "figure"
    """Its name in messages."""
    formats: ClassVar[Sequence[str]] = FORMATS
    """The endings of files that it can be saved as."""

    @abstractmethod
    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The title of its page."""

    @property
    @abstractmethod
    def alt_text(self) -> str:
        """The alternative text."""

    def facts(self) -> Sequence[tuple[str, str]]:
        """Names and texts that its page shows before the figure."""
        return ()

    def controls(self) -> str:
        """Controls of its parameters on a page: HTML of `page.slider`; empty if it has none."""
        return ""

    def marks(self) -> int:
        """How many cells or points it has, if that depends on the data."""
        return 0  # a figure of a fixed size is never too large

    def spec(self, palette: Palette = LIGHT) -> dict[str, Any]:
        """The figure as Vega-Lite, as it is drawn: JSON. Raises TooMuchToDraw for more than MOST_MARKS."""
        check_size(self.noun, self.marks(), MOST_MARKS)
        return spec_of(self.chart(palette))

    def to_html(self) -> str:
        """The figure as an HTML element, for a page with `page.STYLE` and, at its end, `page.script()`."""
        light, dark = (self.spec(palette) for palette in (LIGHT, DARK))
        tables = "\n".join(table.html() for table in self.tables())
        return page.element(light, dark, self.alt_text, tables, self.controls())

    def to_page(self) -> str:
        """The figure as a page that needs nothing else."""
        return page.whole_page(self.title, self.facts(), self.to_html())

    def save(self, path: str | Path) -> None:
        """Write the figure to `path`: .png, .svg, .pdf, .html (one offline file) or .json (data), as it ends.

        Raises RecipeError for another ending, FigureError if it cannot be drawn and DiskError if the file
        cannot be written; a file that was there before is then still whole. Warns (FontWarning) if a .png or
        .pdf lacks a font for some word, where that can be found out.
        """
        path = Path(path)
        suffix = check_format(path, self.noun, self.formats)
        spec = self.spec() if suffix in (".png", ".pdf") else {}
        content = _drawn(spec, suffix, OF_ONE_USER) if spec else self.rendered(suffix)
        with replacing(path) as partial:
            partial.write_bytes(content)
        # After the file is written: to find out, each character is drawn by itself, and that may fail.
        if spec:
            with suppress(FigureError):  # the process that draws, which is asked, may die; the file is there
                fonts.warn_of_faults("".join(_texts(spec)))

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
        return _drawn(self.spec(), suffix, limits)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Interactive where the notebook draws Vega-Lite by itself, else a picture. Never needs a network.

        If it cannot be drawn, the text says why.
        """
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        try:
            spec = self.spec()
            bundle[f"application/vnd.vegalite.v{vega_lite_version().split('.')[0]}+json"] = spec
            bundle["image/svg+xml"] = _drawn(spec, ".svg", OF_ONE_USER).decode()
        except FigureError as error:
            bundle["text/plain"] += f"\n{error}"
        return bundle


def _drawn(spec: dict[str, Any], suffix: str, limits: DrawingLimits) -> bytes:
    """Draw in the drawing process, the only place where that library runs."""
    # Twice as large for sharp screens, unless that would be more pixels than memory has room for.
    width, height = natural_size(spec)
    scale = {"scale": min(2.0, math.sqrt(_MOST_PIXELS / (width * height)))} if suffix == ".png" else {}
    return SHARED.ask(
        f"vegalite_to_{suffix[1:]}", limits, vl_spec=spec, vl_version=vega_lite_version(), **scale
    )


def natural_size(spec: Mapping[str, Any]) -> tuple[float, float]:
    """About how wide and high a chart is in pixels, from the sizes of its panels in Vega-Lite.

    Only about, because the labels around them are laid out by the library that draws: one line of titles
    and axes is counted for each panel, and the longest labels once for all.
    """
    width, height = _panel_size(spec)
    title = spec.get("title", {})
    lines = [*title.get("text", ()), *title.get("subtitle", ())] if isinstance(title, dict) else []
    widest = max((labels.width_px(line, 11) for line in lines), default=0.0)
    return max(width + labels.LONGEST, widest), height + labels.LONGEST


def _panel_size(spec: Mapping[str, Any]) -> tuple[float, float]:
    if "vconcat" in spec:
        lines = [[panel] for panel in spec["vconcat"]]
    elif "hconcat" in spec:
        lines = [spec["hconcat"]]
    elif "concat" in spec:
        panels, per_line = spec["concat"], spec.get("columns", len(spec["concat"]))
        lines = [panels[begin : begin + per_line] for begin in range(0, len(panels), per_line)]
    else:
        return spec.get("width", 300) + 30.0, spec.get("height", 300) + 60.0
    sizes = [[_panel_size(panel) for panel in line] for line in lines]
    widths = [sum(width for width, _ in line) for line in sizes]
    return max(widths), sum(max(height for _, height in line) for line in sizes)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a chart: what may have to be drawn."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def check_size(noun: str, given: int, most: int) -> None:
    """Raises TooMuchToDraw if there are more cells or points than `most`."""
    # Before anything is drawn: a drawing that is too large would only end at the limits of its process.
    if given > most:
        raise TooMuchToDraw(
            f"the {noun} is too large",
            why=f"it has {given:,} cells or points, and may have {most:,} in this format",
            fix="take less: a shorter text, one head, words in place of tokens"
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
