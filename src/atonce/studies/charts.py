"""Charts that set models side by side: each named where it is, with its interval where it has one.

Vega-Lite as JSON. Colours are the page's: its script gives a range of categories, its style `--ink`,
`--muted` and `--paper`. A model has one colour, one dash and one shape on all of them: grey prints, and
readers who tell few colours apart, have two of the three left. `models` are all that a page speaks of,
so that each looks the same in every chart, also where another is missing.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from atonce.figures.labels import distinct
from atonce.figures.line_ends import named_ends, spread
from atonce.figures.vega import spec_of

if TYPE_CHECKING:
    import altair

Line = Sequence[tuple[float, float]]
"""Points (x, y) in the order of x; at least one."""

# As many as `html.COLOURS`, one for each colour; after them all three begin again together.
DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [12, 4], [4, 4], [1, 0], [7, 3]]
SHAPES = [
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left",
]  # fmt: skip

# In pixels. The width of a chart is known only to the browser; this is a small one: names that are clear of
# one another there are so in a larger one too.
ROW = 34
HEIGHT = 280
LOW, FEW = 200, 4
"""The height of a chart of few lines: their names have room in less."""
SMALL = 120
_WIDTH = 250.0
_NAME_ROOM = 150
_NAME_HEIGHT = 15
_LETTER = 7


@dataclass(frozen=True)
class Whisker:
    """A value and its interval."""

    label: str
    value: float
    low: float
    high: float
    by_seed: tuple[float, ...] = ()


@dataclass(frozen=True)
class Gained:
    """What a model gains over a baseline on sentences of one kind."""

    label: str
    long: bool
    value: float
    low: float
    high: float


Labelled = TypeVar("Labelled", Whisker, Gained)


def whiskers(rows: Sequence[Whisker], models: Sequence[str], *, x_title: str) -> dict[str, Any]:
    """A row for each, from above: a dot with its whisker and its number; seeds as small ticks."""
    import altair as alt

    rows, models = _named(rows, models)
    lows, highs = [row.low for row in rows], [row.high for row in rows]
    # Not from zero: dots say where they are, not how long they are, and intervals would shrink to nothing.
    seeds = [{"label": row.label, "x": seed} for row in rows for seed in row.by_seed]
    scale = alt.Scale(domain=_padded(lows, highs), nice=False, zero=False)
    axis = alt.Axis(grid=True, tickCount=5)
    y = alt.Y("label:N", sort=[row.label for row in rows], title=None, axis=_names_axis())
    colour = _colour(models, "label")
    drawn = _inline([asdict(row) for row in rows])
    whisker = alt.Chart(drawn).encode(
        x=alt.X("low:Q", title=x_title, scale=scale, axis=axis), x2="high:Q", y=y, color=colour
    )
    dot = alt.Chart(drawn).encode(
        x=alt.X("value:Q", scale=scale),
        y=y,
        color=colour,
        shape=_shape(models, "label"),
        tooltip=_interval_tooltip(),
    )
    number = alt.Chart(drawn).encode(
        x=alt.X("value:Q", scale=scale), y=y, text=alt.Text("value:Q", format=".1f")
    )
    tick = alt.Chart(_inline(seeds)).encode(x=alt.X("x:Q", scale=scale), y=y, color=colour)
    layers = [
        whisker.mark_rule(strokeWidth=2),
        *([tick.mark_tick(thickness=1.5, size=11, opacity=0.7)] if seeds else []),
        dot.mark_point(filled=True, size=80, opacity=1),
        number.mark_text(dy=-12, fontSize=12, color="var(--ink)"),
    ]
    return _layered(layers, height=ROW * len(rows) + 10)


def gains(rows: Sequence[Gained], models: Sequence[str], *, x_title: str) -> dict[str, Any]:
    """Two whiskers for each: filled for long sentences, hollow for the others. A line stands at 0."""
    import altair as alt

    rows, models = _named(rows, models)
    order = list(dict.fromkeys(row.label for row in rows))
    lows, highs = [row.low for row in rows], [row.high for row in rows]
    # With 0: whether a whisker reaches it is the question.
    scale = alt.Scale(domain=_padded([*lows, 0.0], [*highs, 0.0]), nice=False)
    y = alt.Y("label:N", sort=order, title=None, axis=_names_axis())
    offset = alt.YOffset("long:N", sort=[False, True])
    data = _inline([asdict(row) for row in rows])
    colour = _colour(models, "label")
    whisker = alt.Chart(data).encode(
        x=alt.X("low:Q", title=x_title, scale=scale, axis=alt.Axis(tickCount=5)),
        x2="high:Q", y=y, yOffset=offset, color=colour,
    )  # fmt: skip
    dot = alt.Chart(data).encode(
        x=alt.X("value:Q", scale=scale), y=y, yOffset=offset, color=colour, shape=_shape(models, "label"),
        tooltip=_interval_tooltip(),
    )  # fmt: skip
    zero = alt.Chart(_inline([{"x": 0}])).encode(x=alt.X("x:Q", scale=scale))
    layers = [
        zero.mark_rule(color="var(--muted)", strokeWidth=1),
        whisker.mark_rule(strokeWidth=2),
        dot.transform_filter("datum.long").mark_point(filled=True, size=70, opacity=1),
        dot.transform_filter("!datum.long").mark_point(
            fill="var(--paper)", size=60, opacity=1, strokeWidth=2
        ),
    ]
    return _layered(layers, height=(ROW + 6) * len(order))


def learning_curves(
    lines: Mapping[str, Line], models: Sequence[str], *, x_title: str, y_title: str
) -> dict[str, Any]:
    """A line for each model, named to the right of the chart, as near to its end as the others allow."""
    import altair as alt

    height = HEIGHT if len(lines) > FEW else LOW

    names = _names([*models, *lines])
    lines, models = {names[model]: line for model, line in lines.items()}, [names[one] for one in models]
    low, high = _padded(*([[y for line in lines.values() for _, y in line]] * 2))
    last = max(x for line in lines.values() for x, _ in line)
    x_scale, y_scale = alt.Scale(domain=[0, last], nice=False), alt.Scale(domain=[low, high], nice=False)
    x = alt.X("x:Q", title=x_title, scale=x_scale, axis=alt.Axis(grid=False, tickCount=5))
    y = alt.Y("y:Q", title=None, scale=y_scale, axis=alt.Axis(tickCount=5))
    colour = _colour(models, "model")
    points = _inline([{"model": m, "x": px, "y": py} for m, line in lines.items() for px, py in line])
    measured = alt.Chart(points).encode(x=x, y=y, color=colour)
    apart = _NAME_HEIGHT * (high - low) / height
    places = spread([line[-1][1] for line in lines.values()], apart=apart, low=low, high=high)
    ends = [
        {"model": model, "x": line[-1][0], "y": line[-1][1], "place": place}
        for (model, line), place in zip(lines.items(), places, strict=True)
    ]
    layers = [
        measured.mark_line(strokeWidth=2).encode(
            strokeDash=alt.StrokeDash("model:N", scale=_scale(models, DASHES), legend=None)
        ),
        measured.mark_point(filled=True, size=36, opacity=1).encode(
            shape=_shape(models, "model"),
            tooltip=[
                alt.Tooltip("model:N"),
                alt.Tooltip("x:Q", title=x_title, format=",.3~f"),
                alt.Tooltip("y:Q", title=y_title, format=".2f"),
            ],
        ),
        *named_ends(
            ends, name="model", x=x, y=y, y_scale=y_scale, colour=colour, right="width", gap=12,
            fontSize=12, fontWeight=600,
        ),
    ]  # fmt: skip
    return _layered(layers, height=height)


def one_of_many(
    bands: Mapping[str, Sequence[Whisker]], shown: str, models: Sequence[str], *, x_title: str
) -> dict[str, Any]:
    """One model's values with their band; the lines of the others in grey behind it."""
    import altair as alt

    names = _names([*models, *bands])
    bands, models = {names[model]: band for model, band in bands.items()}, [names[one] for one in models]
    shown = names[shown]
    everything = [one for band in bands.values() for one in band]
    domain = _padded([one.low for one in everything], [one.high for one in everything])
    # One domain for all the small charts, or they could not be compared at a glance.
    scale = alt.Scale(domain=[max(0.0, domain[0]), domain[1]], nice=False)
    x = alt.X(
        "label:N", sort=None, title=x_title, scale=alt.Scale(type="point", padding=0.3),
        axis=alt.Axis(labelAngle=0, grid=False),
    )  # fmt: skip
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4))
    own = alt.Chart(_inline([{"model": shown, **asdict(one)} for one in bands[shown]]))
    others = _inline(
        [{"other": name, **asdict(one)} for name, band in bands.items() if name != shown for one in band]
    )
    colour = _colour(models, "model")
    layers = [
        alt.Chart(others).mark_line(color="var(--muted)", opacity=0.35, strokeWidth=1).encode(
            x=x, y=y, detail="other:N"
        ),
        own.mark_area(opacity=0.2).encode(
            x=x, y=alt.Y("low:Q", scale=scale, title=None), y2="high:Q", color=colour
        ),
        own.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour),
        own.mark_point(filled=True, size=55, opacity=1).encode(
            x=x, y=y, color=colour, shape=_shape(models, "model"), tooltip=_interval_tooltip()
        ),
    ]  # fmt: skip
    return _layered(layers if len(bands) > 1 else layers[1:], height=SMALL)


def scatter(
    points: Mapping[str, tuple[float, float]], models: Sequence[str], *, x_title: str, y_title: str
) -> dict[str, Any]:
    """A point for each, its name beside it where there is room. Logarithmic: equal steps are equal ratios."""
    import altair as alt

    names = _names([*models, *points])
    points, models = {names[model]: at for model, at in points.items()}, [names[one] for one in models]
    xs, ys = ([point[axis] for point in points.values()] for axis in (0, 1))
    x_domain, y_domain = _around(xs), _around(ys)
    # Placed here: Vega-Lite has no layout of labels, and names must not cover one another.
    values = [
        {"model": model, "x": x, "y": y, **place}
        for (model, (x, y)), place in zip(points.items(), _beside(points, x_domain, y_domain), strict=True)
    ]
    base = alt.Chart(_inline(values)).encode(
        x=alt.X(
            "x:Q", title=x_title, axis=alt.Axis(tickCount=5, format="~s"),
            scale=alt.Scale(type="log", domain=x_domain, nice=False),
        ),
        y=alt.Y(
            "y:Q", title=y_title, axis=alt.Axis(tickCount=5, format="~s"),
            scale=alt.Scale(type="log", domain=y_domain, nice=False),
        ),
        color=_colour(models, "model"),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("x:Q", title=x_title, format=",.0f"),
        alt.Tooltip("y:Q", title=y_title, format=",.1f"),
    ]
    layers = [
        base.mark_point(filled=True, size=110, opacity=1).encode(
            shape=_shape(models, "model"), tooltip=tooltip
        ),
        base.mark_text(
            fontSize=12, fontWeight=600, align={"expr": "datum.align"}, dx={"expr": "datum.dx"},
            dy={"expr": "datum.dy"},
        ).encode(text="model:N"),
    ]  # fmt: skip
    return _layered(layers, height=HEIGHT)


def _beside(
    points: Mapping[str, tuple[float, float]], x_domain: Sequence[float], y_domain: Sequence[float]
) -> list[dict[str, Any]]:
    """Where each point's name goes, in pixels from it: right, left, above or below, where it covers least.

    Greedily, point after point: there are few, and a name that covers a little is still read.
    """
    at = {
        model: (_share(x, x_domain) * _WIDTH, (1 - _share(y, y_domain)) * HEIGHT)
        for model, (x, y) in points.items()
    }
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in at.values()]
    places = []
    for model, (x, y) in at.items():
        width = len(model) * _LETTER
        ways = [
            ("left", 11, 0, (x + 9, y - 8, x + 11 + width, y + 8)),
            ("right", -11, 0, (x - 11 - width, y - 8, x - 9, y + 8)),
            ("center", 0, -15, (x - width / 2, y - 23, x + width / 2, y - 9)),
            ("center", 0, 15, (x - width / 2, y + 9, x + width / 2, y + 23)),
        ]
        outside = (-1e4, -1e4, 0.0, 1e4), (_WIDTH, -1e4, 1e4, 1e4)
        covered = [sum(_overlap(box, other) for other in (*taken, *outside)) for *_, box in ways]
        align, dx, dy, box = ways[covered.index(min(covered))]
        taken.append(box)
        places.append({"align": align, "dx": dx, "dy": dy})
    return places


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that two boxes (left, top, right, bottom) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _share(value: float, domain: Sequence[float]) -> float:
    """How far along a logarithmic axis a value is."""
    low, high = map(math.log, domain)
    return (math.log(value) - low) / (high - low)


def _around(values: Sequence[float]) -> list[float]:
    """The domain of a logarithmic axis, with room on either side."""
    room = max((max(values) / min(values)) ** 0.12, 1.15)
    return [min(values) / room, max(values) * room]


def _padded(lows: Sequence[float], highs: Sequence[float]) -> list[float]:
    """From the least to the greatest, with some room."""
    # `or`: where all values are the same, there is no range to take a share of.
    room = 0.06 * (max(highs) - min(lows)) or 0.5
    return [min(lows) - room, max(highs) + room]


def _names(models: Sequence[str]) -> dict[str, str]:
    """What each is called where there is room for a name; no two alike."""
    return distinct(models, _NAME_ROOM, 12)


def _named(rows: Sequence[Labelled], models: Sequence[str]) -> tuple[list[Labelled], list[str]]:
    """Rows and models, each by the name that it has in a chart."""
    names = _names([*models, *(row.label for row in rows)])
    return [replace(row, label=names[row.label]) for row in rows], [names[one] for one in models]


def _names_axis() -> "altair.Axis":
    import altair as alt

    # Each row is named by its label and told apart by its colour: lines of an axis would add nothing.
    return alt.Axis(ticks=False, domain=False, grid=False, labelColor="var(--ink)")


def _interval_tooltip() -> "list[altair.Tooltip]":
    import altair as alt

    return [
        alt.Tooltip("label:N", title="of"),
        alt.Tooltip("value:Q", format=".2f"),
        alt.Tooltip("low:Q", title="95 % from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
    ]


def _colour(models: Sequence[str], field: str) -> "altair.Color":
    import altair as alt

    # No range of colours: that is the page's, in variables that a dark page and paper change.
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(models)), legend=None)


def _shape(models: Sequence[str], field: str) -> "altair.Shape":
    import altair as alt

    return alt.Shape(f"{field}:N", scale=_scale(models, SHAPES), legend=None)


def _scale(models: Sequence[str], looks: Sequence[Any]) -> "altair.Scale":
    import altair as alt

    return alt.Scale(domain=list(models), range=list(itertools.islice(itertools.cycle(looks), len(models))))


def _inline(values: list[dict[str, Any]]) -> "altair.InlineData":
    import altair as alt

    return alt.InlineData(values=values)


def _layered(layers: "list[altair.Chart]", *, height: int) -> dict[str, Any]:
    import altair as alt

    # As wide as the page gives it: what has to be in pixels from the data is placed for `_WIDTH`.
    return spec_of(alt.layer(*layers).properties(width="container", height=height))
