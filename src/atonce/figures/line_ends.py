"""Names beside the ends of lines in a chart, placed so that none covers another."""

from collections.abc import Mapping, Sequence
from typing import Any


def spread(values: Sequence[float], *, apart: float, low: float, high: float) -> list[float]:
    """As near to `values` as can be (in squares), but each pair at least `apart`, and within low and high.

    Where there is no room for all, they keep their distance and leave the bounds on both sides alike.
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    # Less their distances, places need only rise: those that fall are moved to their mean (isotonic
    # regression, by pooling adjacent violators).
    runs: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        runs.append((values[index] - rank * apart, 1))
        while len(runs) > 1 and runs[-2][0] > runs[-1][0]:
            (b, m), (a, n) = runs.pop(), runs.pop()
            runs.append(((a * n + b * m) / (n + m), n + m))
    flat = [value for value, length in runs for _ in range(length)]
    room = high - (len(values) - 1) * apart
    bounds = (low, room) if room >= low else ((low + room) / 2,) * 2
    places = [0.0] * len(values)
    for rank, index in enumerate(order):
        places[index] = min(max(flat[rank], bounds[0]), bounds[1]) + rank * apart
    return places


def named_ends(
    ends: Sequence[Mapping[str, Any]], *, name: str, x: Any, y: Any, y_scale: Any, colour: Any,
    right: int | str, gap: int, **font: Any,
) -> list[Any]:  # fmt: skip
    """The name of each line to the right of a chart, and a thin rule that leads to it from the line's end.

    `ends`: for each line its `name` field, those of its last point that `x`, `y` and `colour` encode, and in
    "place" where the name goes along y (see `spread`). `right`: the right edge, in pixels or as a signal;
    `gap`: from there to the end of the rule.
    """
    import altair as alt

    at_end = alt.Chart(alt.InlineData(values=list(ends)))
    return [
        at_end.mark_rule(strokeWidth=1, opacity=0.5, xOffset=4, x2Offset=gap).encode(
            x=x, x2=alt.value(right), y=y, y2="place:Q", color=colour
        ),
        at_end.mark_text(align="left", dx=gap + 4, **font).encode(
            x=alt.value(right), y=alt.Y("place:Q", scale=y_scale), text=f"{name}:N", color=colour
        ),
    ]
