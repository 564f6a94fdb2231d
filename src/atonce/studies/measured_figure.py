"""Growth in a picture: how work and span rise with the length, on logarithmic axes."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atonce.disk import write_text
from atonce.figures.drawing import Drawing
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.measure.laws import Law
from atonce.studies.compare_charts import spread
from atonce.studies.lineage import Family, family_of_layer, family_of_model
from atonce.studies.measured import Measured
from atonce.studies.measured_tables import Table, tables

if TYPE_CHECKING:
    import altair

_COLOURS: Mapping[Family, tuple[str, str]] = {
    "recurrence": ("#b3470b", "#f29a5b"),
    "scan": ("#8a3a86", "#d893d4"),
    "convolution": ("#0a7a5a", "#4fd1a5"),
    "attention": ("#0b5fa5", "#6db3f2"),
    "feed-forward": ("#6b6b6b", "#b0b0b0"),
}
"""On light and on dark paper: told apart also by those who tell few colours apart (Okabe and Ito 2008)."""

_WIDTH, _HEIGHT = 300, 260
_NAME_ROOM = 190
_NAME_HEIGHT = 13


@dataclass(frozen=True)
class _Line:
    """One curve of a panel."""

    title: str
    family: Family
    law: Law


@dataclass(frozen=True, eq=False)
class MeasuredFigure(Drawing):
    """Panels of curves, and the tables."""

    measured: Measured

    noun = "picture of growth"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        panels = [_panel(title, lines, palette) for title, lines in self._panels().items()]
        lengths = ", ".join(map(str, self.measured.lengths))
        return styled(
            alt.concat(*panels, columns=2, spacing=30).properties(
                title=headed(
                    "What is computed at once, and what waits",
                    [f"Counted in the running code, at n = {lengths}. Both axes are logarithmic: a line that "
                     "doubles with n is linear growth, a level one waits for nothing."],
                    760,
                ),
                description=self.label(),
            ),
            palette,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """All that was measured."""
        return self.measured.as_dict()

    def headline(self) -> str:
        """The title of its page."""
        return "What is computed at once, and what waits"

    def facts(self) -> Sequence[tuple[str, str]]:
        """What its page says first."""
        return [
            ("lengths", ", ".join(map(str, self.measured.lengths))),
            ("without a rule", ", ".join(self.measured.unknown) or "no operation"),
        ]

    def label(self) -> str:
        """What it shows, for who cannot see it."""
        return "Curves of work and span by length, for layers and for models. The tables have the laws."

    def tables(self) -> str:
        """The laws as HTML tables."""
        return "\n".join(_html(table) for table in tables(self.measured))

    def area(self) -> float:
        """About how many square pixels it takes at its natural size."""
        rows = -(-len(self._panels()) // 2)
        return float(2 * (_WIDTH + _NAME_ROOM + 60) * rows * (_HEIGHT + 90))

    def text(self) -> str:
        """Every character that appears on it."""
        return "".join(line.title for lines in self._panels().values() for line in lines)

    def _panels(self) -> dict[str, list[_Line]]:
        layers, models = self.measured.layers, self.measured.models
        of_layer = [(row, family_of_layer(row.name)) for row in layers]
        of_model = [(row, family_of_model(row.name)) for row in models]
        panels = {
            "Span of a layer": [_Line(row.title, family, row.growth.span) for row, family in of_layer],
            "Work of a layer": [_Line(row.title, family, row.growth.work) for row, family in of_layer],
            "Span of a training step": [_Line(row.title, family, row.step.span) for row, family in of_model],
            "Span of generation": [_Line(row.title, family, row.generation.span) for row, family in of_model],
        }
        return {title: lines for title, lines in panels.items() if lines}


def save(measured: Measured, path: Path) -> None:
    """Write a picture, a page, data, or the tables as Markdown (.md), as the name ends."""
    if path.suffix.lower() == ".md":
        write_text(path, "\n".join(table.markdown() for table in tables(measured)))
    else:
        MeasuredFigure(measured).save(path)


def _panel(title: str, lines: Sequence[_Line], palette: Palette) -> Any:
    """One panel: curves with their names to the right, as near to their ends as the others allow."""
    import altair as alt

    values = [value for line in lines for value in line.law.values.values()]
    low, high = math.log10(min(values)) - 0.08, math.log10(max(values)) + 0.08
    lengths = sorted({length for line in lines for length in line.law.values})
    y_scale = alt.Scale(type="log", domain=[10**low, 10**high], nice=False)
    x = alt.X(
        "n:Q", title="n", axis=alt.Axis(values=lengths, grid=False, format="d"),
        scale=alt.Scale(type="log", base=2, domain=[lengths[0], lengths[-1]], nice=False),
    )  # fmt: skip
    y = alt.Y("value:Q", title=None, scale=y_scale, axis=alt.Axis(tickCount=5, format="~s", gridOpacity=0.4))
    colour = _colour(palette)
    points = alt.Chart(alt.InlineData(values=list(_points(lines)))).encode(x=x, y=y, color=colour)
    names = alt.Chart(alt.InlineData(values=list(_names(lines, low, high))))
    return (
        alt.layer(
            points.mark_line(strokeWidth=1.8, opacity=0.9).encode(detail="title:N"),
            points.mark_point(filled=True, size=26, opacity=1).encode(
                tooltip=[
                    alt.Tooltip("title:N", title="of"), alt.Tooltip("n:Q"),
                    alt.Tooltip("value:Q", format=","), alt.Tooltip("law:N"),
                ],
            ),
            names.mark_rule(strokeWidth=1, opacity=0.5, xOffset=4, x2Offset=16).encode(
                x=alt.value(_WIDTH), x2=alt.value(_WIDTH), y=y, y2="place:Q", color=colour
            ),
            names.mark_text(align="left", dx=20, fontSize=11).encode(
                x=alt.value(_WIDTH), y=alt.Y("place:Q", scale=y_scale), text="title:N", color=colour
            ),
        )
        .properties(
            width=_WIDTH, height=_HEIGHT, title=alt.Title(title, fontSize=12, frame="group", offset=8)
        )
    )  # fmt: skip


def _points(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    for line in lines:
        for length, value in line.law.values.items():
            yield {
                "title": line.title, "family": line.family, "n": length, "value": value, "law": str(line.law),
            }  # fmt: skip


def _names(lines: Sequence[_Line], low: float, high: float) -> Iterator[dict[str, Any]]:
    """Where each name goes: `low` and `high` are the powers of ten between which there is room."""
    ends = [float(list(line.law.values.values())[-1]) for line in lines]
    apart = _NAME_HEIGHT * (high - low) / _HEIGHT
    places = spread([math.log10(end) for end in ends], apart=apart, low=low, high=high)
    for line, end, place in zip(lines, ends, places, strict=True):
        yield {"title": line.title, "family": line.family, "value": end, "place": 10**place}


def _colour(palette: Palette) -> Any:
    import altair as alt

    shade = 0 if palette is LIGHT else 1
    scale = alt.Scale(domain=list(_COLOURS), range=[both[shade] for both in _COLOURS.values()])
    return alt.Color("family:N", scale=scale, legend=None)


def _html(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(one)}</th>' for one in table.header)
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(one)}</td>" for one in others)
        + "</tr>"
        for first, *others in table.rows
    )
    return (
        f"<table>\n<caption>{html.escape(table.title)} <span>{html.escape(table.note)}</span></caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    )
