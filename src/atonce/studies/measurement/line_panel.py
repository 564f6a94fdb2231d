"""Curves by length on logarithmic axes, each named where it ends."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atonce.figures.labels import distinct
from atonce.figures.spread import spread
from atonce.figures.style import Palette
from atonce.studies.measurement.families import COLOURS, Family, colour_of

WIDTH, HEIGHT = 300, 260
NAME_ROOM = 190
_NAME_HEIGHT = 13


@dataclass(frozen=True)
class Line:
    """One curve."""

    title: str
    family: Family
    values: Mapping[int, int | float]
    """By length; all above zero."""
    said: str = ""
    """What the tooltip says of all of it."""


def line_panel(title: str, lines: Sequence[Line], palette: Palette, *, unit: str = "") -> Any:
    """One panel: curves with their names to the right, as near to their ends as the others allow.

    `unit`: what numbers on the axis are of.
    """
    import altair as alt

    values = [value for line in lines for value in line.values.values()]
    low, high = math.log10(min(values)) - 0.08, math.log10(max(values)) + 0.08
    lengths = sorted({length for line in lines for length in line.values})
    y_scale = alt.Scale(type="log", domain=[10**low, 10**high], nice=False)
    x = alt.X(
        "n:Q", title="n", axis=alt.Axis(values=lengths, grid=False, format="d"),
        scale=alt.Scale(type="log", base=2, domain=[lengths[0], lengths[-1]], nice=False),
    )  # fmt: skip
    y = alt.Y(
        "value:Q",
        title=None,
        scale=y_scale,
        axis=alt.Axis(
            tickCount=5,
            labelExpr=f"format(datum.value, '~s') + '{unit}'",
            gridColor=palette.faint,
            gridOpacity=0.25,
        ),
    )
    colour = alt.Color(
        "family:N",
        legend=None,
        scale=alt.Scale(domain=list(COLOURS), range=[colour_of(family, palette) for family in COLOURS]),
    )
    points = alt.Chart(alt.InlineData(values=list(_points(lines)))).encode(x=x, y=y, color=colour)
    names = alt.Chart(alt.InlineData(values=list(_names(lines, low, high))))
    return (
        alt.layer(
            points.mark_line(strokeWidth=1.8, opacity=0.9).encode(detail="title:N"),
            points.mark_point(filled=True, size=26, opacity=1).encode(
                tooltip=[
                    alt.Tooltip("title:N", title="of"), alt.Tooltip("n:Q"),
                    alt.Tooltip("value:Q", format=",.4~g"), alt.Tooltip("said:N", title=" "),
                ],
            ),
            names.mark_rule(strokeWidth=1, opacity=0.5, xOffset=4, x2Offset=16).encode(
                x=x, x2=alt.value(WIDTH), y=y, y2="place:Q", color=colour
            ),
            names.mark_text(align="left", dx=20, fontSize=11).encode(
                x=alt.value(WIDTH), y=alt.Y("place:Q", scale=y_scale), text="title:N", color=colour
            ),
        )
        .properties(
            width=WIDTH, height=HEIGHT, title=alt.Title(title, fontSize=12, frame="group", offset=8)
        )
    )  # fmt: skip


def _points(lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    shown = distinct((line.title for line in lines), NAME_ROOM)
    for line in lines:
        for length, value in line.values.items():
            yield {
                "title": shown[line.title], "family": line.family, "n": length, "value": value,
                "said": line.said,
            }  # fmt: skip


def _names(lines: Sequence[Line], low: float, high: float) -> Iterator[dict[str, Any]]:
    """Where each name goes: `low` and `high` are the powers of ten between which there is room."""
    ends = [float(list(line.values.values())[-1]) for line in lines]
    apart = _NAME_HEIGHT * (high - low) / HEIGHT
    places = spread([math.log10(end) for end in ends], apart=apart, low=low, high=high)
    shown = distinct((line.title for line in lines), NAME_ROOM)
    for line, end, place in zip(lines, ends, places, strict=True):
        yield {
            "title": shown[line.title], "family": line.family, "n": max(line.values), "value": end,
            "place": 10**place,
        }  # fmt: skip
