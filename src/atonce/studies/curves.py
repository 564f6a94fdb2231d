"""Charts of how models learn: a line for each, told apart by colour, dash and shape, named where it ends."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.figures.labels import distinct
from atonce.figures.vega import spec_of
from atonce.shapes import Float

if TYPE_CHECKING:
    import altair

Line = Sequence[tuple[float, float]]
"""Points (x, y) in the order of x; at least one."""

HEIGHT = 200
"""Of a chart's inside, in pixels. Its width is that of its place on the page."""

_DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3]]
_SHAPES = ["circle", "square", "triangle-up", "diamond"]

# How names are placed, in pixels. The width of the chart is known only to the browser; this one is usual.
_WIDTH = 360
_LETTER = 7
_LONGEST_NAME = 180
_NAME_OFFSETS = (15, -15, 22, -22, 30, -30)
_CLEAR = 11  # from the middle of a name to a line that does not touch it


def learning_curves(
    lines: Mapping[str, Line], models: Sequence[str], *, x_title: str, y_title: str
) -> dict[str, Any]:
    """A Vega-Lite chart of one line for each model.

    `models` are all that the page speaks of, so that each looks the same in every chart, also where another
    has no line. Colours are the page's: its script gives a range of categories, its style `--paper`.
    """
    import altair as alt

    shown = distinct([*models, *lines], _LONGEST_NAME, 12)
    lines, models = {shown[model]: line for model, line in lines.items()}, [shown[one] for one in models]
    x = alt.X("x:Q", title=x_title, axis=alt.Axis(grid=False, tickCount=5), scale=alt.Scale(zero=True))
    y_scale = alt.Scale(domain=_y_domain(lines), nice=False)
    y = alt.Y("y:Q", title=None, axis=alt.Axis(tickCount=4), scale=y_scale)
    colour = alt.Color("model:N", scale=alt.Scale(domain=models), legend=None)
    measured = alt.Chart(_points(lines)).encode(x=x, y=y, color=colour)
    named = alt.Chart(alt.InlineData(values=name_places(lines))).encode(x=x, y=y, text="model:N")
    name = alt.MarkDef(type="text", align="right", fontSize=12, fontWeight=600)
    edge = alt.MarkDef(**name.to_dict(), fill="var(--paper)", stroke="var(--paper)", strokeWidth=4)
    layers = alt.layer(
        measured.mark_line(strokeWidth=2).encode(
            strokeDash=alt.StrokeDash("model:N", scale=alt.Scale(domain=models, range=_DASHES), legend=None)
        ),
        measured.mark_point(filled=True, size=42, opacity=1).encode(
            shape=alt.Shape("model:N", scale=alt.Scale(domain=models, range=_SHAPES), legend=None),
            tooltip=[
                alt.Tooltip("model:N"),
                alt.Tooltip("x:Q", title=x_title, format=",.3~f"),
                alt.Tooltip("y:Q", title=y_title, format=".2f"),
            ],
        ),
        # An edge in the colour of the paper: a line that passes behind a name does not cross it out.
        named.properties(mark=edge),
        named.encode(color=colour).properties(mark=name),
    )
    return spec_of(layers.properties(width="container", height=HEIGHT))


def name_places(lines: Mapping[str, Line]) -> list[dict[str, Any]]:
    """Where each model's name ends: over the end of its line or under it, as near as is clear of all else."""
    low, high = _y_domain(lines)
    pixel = (high - low) / HEIGHT
    x_per_pixel = max(x for line in lines.values() for x, _ in line) / _WIDTH
    places: list[dict[str, Any]] = []
    for model, line in sorted(lines.items(), key=lambda item: item[1][-1][1], reverse=True):
        end, y = line[-1]
        width = min(len(model) * _LETTER, _LONGEST_NAME) * x_per_pixel
        right = max(end, width)  # a short line's name may reach beyond it, but not out of the chart
        span = np.linspace(right - width, right, 16)
        candidates = [y + offset * pixel for offset in _NAME_OFFSETS]
        taken = [place["y"] for place in places if place["x"] >= span[0]]
        clear = [min(_clearance(lines, span, middle, taken) / pixel, _CLEAR) for middle in candidates]
        places.append({"model": model, "x": right, "y": candidates[clear.index(max(clear))]})
    return places


def _clearance(
    lines: Mapping[str, Line], span: Float[np.ndarray, " points"], middle: float, taken: Sequence[float]
) -> float:
    """How far a name at height `middle` is from what it could touch over `span`: lines and other names."""
    distances = [float(np.inf)]
    for line in lines.values():
        xs, ys = np.array(line, dtype=float).T
        within = span[(span >= xs[0]) & (span <= xs[-1])]
        distances += list(np.abs(np.interp(within, xs, ys) - middle))
    # Two names need room for both of them.
    return float(min(*distances, *(abs(other - middle) / 1.5 for other in taken), np.inf))


def _y_domain(lines: Mapping[str, Line]) -> list[float]:
    """From the least to the greatest value, with room for names."""
    values = [y for line in lines.values() for _, y in line]
    room = 0.15 * (max(values) - min(values)) or 0.5
    return [min(values) - room, max(values) + room]


def _points(lines: Mapping[str, Line]) -> "altair.InlineData":
    import altair as alt

    return alt.InlineData(
        values=[{"model": model, "x": x, "y": y} for model, line in lines.items() for x, y in line]
    )
