"""Curves by length on logarithmic axes, each named where it ends, in the colour of its family."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atonce.figures.labels import distinct
from atonce.figures.line_ends import named_ends, spread
from atonce.figures.style import LIGHT, Palette
from atonce.models.architectures import ARCHITECTURES

# Fixed, and not the page's: names at the ends of lines are placed in pixels.
_WIDTH, _HEIGHT = 300, 260
_NAME_ROOM = 190
_NAME_HEIGHT = 13

Family = Literal["recurrence", "scan", "convolution", "attention", "feed-forward"]
COLOURS: Mapping[Family, tuple[str, str]] = {
    "recurrence": ("#b3470b", "#f29a5b"),
    "scan": ("#8a3a86", "#d893d4"),
    "convolution": ("#0a7a5a", "#4fd1a5"),
    "attention": ("#0b5fa5", "#6db3f2"),
    "feed-forward": ("#6b6b6b", "#b0b0b0"),
}
"""On light and on dark paper: told apart also by those who tell few colours apart (Okabe and Ito 2008)."""
# In this order: "gru" is in "mingru", too.
_SIGNS: dict[str, Family] = {
    "attention": "attention", "convolution": "convolution", "mingru": "scan", "rnn": "recurrence",
    "gru": "recurrence", "lstm": "recurrence",
}  # fmt: skip
_ENCODERS: dict[str, Family] = {
    "feedforward": "feed-forward", "convolution": "convolution", "rnn": "recurrence", "gru": "recurrence",
    "lstm": "recurrence", "mingru": "scan", "minlstm": "scan", "transformer": "attention",
}  # fmt: skip


def colour_of(family: Family, palette: Palette) -> str:
    """Its colour on this paper."""
    return COLOURS[family][0 if palette is LIGHT else 1]


def family_of(name: str, *, whole: bool) -> Family:
    """What brings positions together in a layer, or in the encoder of a `whole` model.

    Of a program of the user's nothing is known; a run of whatever architecture counts as attention.
    """
    if whole:
        known = (one.model.encoder.kind for one in ARCHITECTURES if one.name == name)
        return _ENCODERS[next(known, "transformer")]
    return next((family for sign, family in _SIGNS.items() if sign in name), "feed-forward")


@dataclass(frozen=True)
class Line:
    """One curve."""

    title: str
    family: Family
    values: Mapping[int, int | float]
    """By length; all above zero."""
    said: str = ""
    """What the tooltip says of all of it."""


def line_chart(title: str, lines: Sequence[Line], palette: Palette, *, unit: str = "") -> Any:
    """One chart: curves with their names to the right, as near to their ends as the others allow.

    `unit`: what numbers on the axis are of.
    """
    import altair as alt

    values = [value for line in lines for value in line.values.values()]
    low, high = math.log10(min(values)) - 0.08, math.log10(max(values)) + 0.08
    lengths = sorted({length for line in lines for length in line.values})
    # Both logarithmic: a power of n is a straight line, and its slope the exponent.
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
            values=axis_values(10**low, 10**high),
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
    return (
        alt.layer(
            points.mark_line(strokeWidth=1.8, opacity=0.9).encode(detail="title:N"),
            points.mark_point(filled=True, size=26, opacity=1).encode(
                tooltip=[
                    alt.Tooltip("title:N", title="of"), alt.Tooltip("n:Q"),
                    alt.Tooltip("value:Q", format=",.4~g"), alt.Tooltip("said:N", title=" "),
                ],
            ),
            *named_ends(
                list(_ends(lines, low, high)), name="title", x=x, y=y, y_scale=y_scale, colour=colour,
                right=_WIDTH, gap=16, fontSize=11,
            ),
        )
        .properties(
            width=_WIDTH, height=_HEIGHT, title=alt.Title(title, fontSize=12, frame="group", offset=8)
        )
    )  # fmt: skip


def axis_values(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, for a logarithmic axis.

    Vega would take every digit of every power of ten, and write them over one another.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    most = 7
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits]
        fitting = [one for one in found if low <= one <= high]
        if len(fitting) <= most:
            return fitting
    return fitting[:: -(-len(fitting) // most)]


def _points(lines: Sequence[Line]) -> Iterator[dict[str, Any]]:
    shown = distinct((line.title for line in lines), _NAME_ROOM)
    for line in lines:
        for length, value in line.values.items():
            yield {
                "title": shown[line.title], "family": line.family, "n": length, "value": value,
                "said": line.said,
            }  # fmt: skip


def _ends(lines: Sequence[Line], low: float, high: float) -> Iterator[dict[str, Any]]:
    """Where each name goes: `low` and `high` are the powers of ten between which there is room."""
    # Spread on the logarithm, as that is what is even on the axis.
    ends = [float(list(line.values.values())[-1]) for line in lines]
    apart = _NAME_HEIGHT * (high - low) / _HEIGHT
    places = spread([math.log10(end) for end in ends], apart=apart, low=low, high=high)
    shown = distinct((line.title for line in lines), _NAME_ROOM)
    for line, end, place in zip(lines, ends, places, strict=True):
        yield {
            "title": shown[line.title], "family": line.family, "n": max(line.values), "value": end,
            "place": 10**place,
        }  # fmt: skip
