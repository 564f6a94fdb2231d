"""What a model looked at, as one figure that is the same in a paper, a notebook, a page and a program."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.disk import replacing
from atonce.errors import RecipeError
from atonce.explain import fonts, page
from atonce.explain.figure import LIGHT, Palette, area, figure, vega_lite_version
from atonce.explain.words import AttentionMap

if TYPE_CHECKING:
    import altair

FORMATS = (".png", ".svg", ".pdf", ".html", ".json")
"""What a heat map can be saved as, by the ending of the file's name."""

_MOST_PIXELS = 60_000_000  # of a .png; a picture beyond would take gigabytes to draw


@dataclass(frozen=True, eq=False)
class Heatmap:
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

    def __post_init__(self) -> None:
        if not self.maps:
            raise ValueError("a heat map needs at least one attention map")

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
                    "weights": [[_plain(weight) for weight in row] for row in one.weights],
                }
                for one in self.maps
            ],
        }

    def to_html(self) -> str:
        """The figure as an HTML element, for a page with `page.STYLE` and, at its end, `page.script()`."""
        return page.element(self.maps, self.model)

    def save(self, path: str | Path) -> None:
        """Write the figure to `path`: .png, .svg, .pdf, .html (one offline file) or .json (data), as it ends.

        Raises RecipeError for another ending and DiskError if the file cannot be written; a file that was
        there before is then still whole. Warns (FontWarning) if a .png or .pdf lacks a font for some word.
        """
        path = Path(path)
        rendered = self._rendered(check_format(path))
        with replacing(path) as partial:
            partial.write_bytes(rendered)

    def _rendered(self, suffix: str) -> bytes:
        if suffix == ".json":
            return (json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n").encode()
        if suffix == ".html":
            return page.whole_page(self.maps, self.model, self.source, self.output).encode()
        return self._drawn(suffix)

    def _drawn(self, suffix: str) -> bytes:
        import vl_convert

        spec = self.chart().to_dict()
        if suffix == ".svg":
            return str(vl_convert.vegalite_to_svg(spec, vl_version=vega_lite_version())).encode()
        fonts.warn_of_faults(self._text)
        if suffix == ".pdf":
            return bytes(vl_convert.vegalite_to_pdf(spec, vl_version=vega_lite_version()))
        scale = min(2.0, math.sqrt(_MOST_PIXELS / area(self.maps)))
        return bytes(vl_convert.vegalite_to_png(spec, vl_version=vega_lite_version(), scale=scale))

    @cached_property
    def _text(self) -> str:
        """Every character that appears on the figure."""
        parts = [self.model]
        for one in self.maps:
            parts += [one.title, one.rule, *one.rows, *one.columns]
        return "".join(parts)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Interactive where the notebook draws Vega-Lite by itself, else a picture. Never needs a network."""
        major = vega_lite_version().split(".")[0]
        return {
            f"application/vnd.vegalite.v{major}+json": self.chart().to_dict(),
            "image/svg+xml": self._drawn(".svg").decode(),
            "text/plain": f"<Heatmap of {self.model}: {self.source!r} → {self.output!r}>",
        }


def check_format(path: Path) -> str:
    """The ending of `path`, in small letters. Raises RecipeError if it is none of FORMATS."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise RecipeError(
            f"cannot save a heat map as {path.name!r}",
            why=f"the ending {suffix!r} is not a format it has" if suffix else "the name has no ending",
            fix=f"end the name in one of {', '.join(FORMATS)}",
        )
    return suffix


def _plain(weight: np.floating[Any]) -> float | None:
    # Through text: the shortest decimal that gives the same float32, 0.1 and not 0.10000000149011612.
    return None if np.isnan(weight) else float(str(weight))
