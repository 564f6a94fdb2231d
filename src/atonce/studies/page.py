"""What the pages of all studies share: their look, the script that draws charts, and how they are filled.

A page is one HTML file. It holds all that it shows, scripts included, and loads nothing: a rule in the page
itself forbids it. Charts are Vega-Lite, which the browser draws; their colours are variables of the page, so
that they follow it from light to dark and on to paper.
"""

import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from atonce.figures import labels, vega

if TYPE_CHECKING:
    import jinja2

Spec = dict[str, Any]
"""A Vega-Lite chart as JSON."""

COLOURS = 8
"""Models that a page has a colour and a shape for; further ones begin again with the first."""


@dataclass(frozen=True)
class Chart:
    """One chart of the page, with its words."""

    title: str
    description: str
    """For readers who cannot see it."""
    number: int
    """Its place among the charts of the page."""
    dark_number: int | None = None
    """The place of its twin for a dark page, where it has one."""
    note: str = ""


def render(template: str, charts: list[Spec], **values: Any) -> str:
    """A page from a template of this folder, about 1 MB of it the script that draws charts.

    The figures of the page know the `charts` by number.
    """
    from markupsafe import Markup

    return _template(template).render(
        charts=[labels.fit(_as_json(chart)) for chart in charts],
        vega=Markup(vega.script("window.vegaEmbed = vegaEmbed;")),
        colours=COLOURS,
        **values,
    )


def language_name(tag: str | None) -> str | None:
    """A language in English: "de" is German. The tag itself if there is no name for it."""
    if tag is None:
        return None
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(tag.replace("_", "-"), sep="-").get_display_name("en") or tag
    except (UnknownLocaleError, ValueError):
        return tag


def _template(name: str) -> "jinja2.Template":
    import jinja2

    folder = resources.files("atonce.studies")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: labels.drawable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda wanted: (folder / wanted).read_text(encoding="utf-8")),
    )
    environment.filters["grouped"] = lambda number: f"{number:,.0f}"
    environment.filters["fixed"] = lambda number, digits=1: f"{number:.{digits}f}"
    environment.filters["signed"] = lambda number, digits=1: f"{number:+.{digits}f}".replace("-", "−")
    return environment.get_template(name)


def _as_json(value: Any) -> Any:
    """`value` as JSON can have it: what is no number (NaN, infinity) becomes null."""
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
