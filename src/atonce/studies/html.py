"""The pages of all studies: one template, the script that draws charts, and how they are filled.

A page is one HTML file. It holds all that it shows, scripts included, and loads nothing: a rule in the page
itself forbids it. `templates/page.html.jinja` has the frame and the look, `parts.html.jinja` what stands in
it (figures with captions and alternative texts, signatures, commands); each page has a template of its own.
Charts are Vega-Lite, which the browser draws; their colours are variables of the page, so that they follow it
from light to dark and on to paper.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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


class Charts:
    """The charts of one page, in one list: its figures know them by number."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []

    def add(
        self, title: str, description: str, spec: Spec, *, dark: Spec | None = None, note: str = ""
    ) -> Chart:
        """Put a chart on the page. `dark`: its twin, where its colours are not the page's own."""
        number = len(self.specs)
        self.specs += [spec] if dark is None else [spec, dark]
        return Chart(title, description, number, None if dark is None else number + 1, note)


def render(
    template: str,
    *,
    title: str,
    kicker: str,
    date: str,
    sections: Mapping[str, str],
    charts: Charts | None = None,
    script: str = "",
    **values: Any,
) -> str:
    """A page from a template of `templates/`, about 1 MB of it the script that draws charts.

    `kicker`: the line over its `title`. `sections`: what there is on the page, by id, as its list of contents
    says it. `charts`: what the page's figures know by number; or `script`, which draws figures that bring
    their charts along. `values`: what only this template asks for.
    """
    from markupsafe import Markup

    specs = [] if charts is None else charts.specs
    return _template(template).render(
        title=title,
        kicker=kicker,
        date=date,
        sections=sections,
        charts=[labels.fit(_as_json(chart)) for chart in specs],
        script=Markup(script),
        # Marked safe: JavaScript in which quotes were escaped would not run.
        vega=Markup("" if script else vega.script("window.vegaEmbed = vegaEmbed;")),
        colours=COLOURS,
        **values,
    )


def today() -> str:
    """The date that a page has, such as "4 July 2026"."""
    return datetime.now(UTC).strftime("%d %B %Y").removeprefix("0")


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

    folder = resources.files("atonce.studies") / "templates"
    # StrictUndefined, as a name that is misspelt in a template would otherwise be an empty place on the page.
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # `type(value) is str`, as what is marked safe (Markup) is a str, too, and must stay marked.
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
    # A browser's JSON.parse refuses NaN, which Python writes; a loss that ran away is one.
    return None if isinstance(value, float) and not math.isfinite(value) else value
