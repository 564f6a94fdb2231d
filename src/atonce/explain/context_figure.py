"""The chart of a word in context, in Vega-Lite: the effect of each layer, and a plot of the uses in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from atonce.explain.context_vectors import ContextInfluence, Use, from_the_mean
from atonce.figures.labels import label, shortened
from atonce.figures.style import Palette, headed, panel_title, styled
from atonce.shapes import Float

if TYPE_CHECKING:
    import altair

_SIDE = 330
"""Pixels of a picture of uses."""
_PER_LINE = 2
_LABELLED = 6
"""Uses whose sentence is written beside them."""
_ROOM = 30
"""Characters of it."""
_LETTER, _LINE = 5.4, 13.0
"""Width and height of a letter in pixels, about."""
_ROUNDING = 1e-6
"""Differences below it, relative to the vectors' length, are rounding, and would be drawn as a pattern."""


class Plane(NamedTuple):
    """The two directions in which vectors differ most, and how much they differ in them."""

    places: Float[np.ndarray, "uses 2"]
    """Seen from the mean, in units of the vectors' length (root of the mean square)."""
    held: float
    """Share of the variance that the plane holds; NaN where there is none."""


def plane_of(vectors: Float[np.ndarray, "uses dim"], spellings: Sequence[tuple[int, ...]]) -> Plane:
    """The first two principal components of vectors (Pearson 1901), by their singular values.

    Each is seen from the mean of those spelt alike, so that what is seen is due to context. `spellings`: the
    tokens of the word in each use.
    """
    exact = vectors.astype(np.float64)
    # In units of their length: layers differ much in it, and are drawn on one scale.
    length = float(np.sqrt((exact**2).sum(1).mean())) or 1.0
    centred = from_the_mean(exact, spellings) / length
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    values = np.where(values > _ROUNDING * np.sqrt(len(exact)), values, 0.0)
    places = np.zeros((len(exact), 2))
    places[:, : min(2, len(values))] = (left * values)[:, :2]
    variance = float((values**2).sum())
    return Plane(places, float((values[:2] ** 2).sum()) / variance if variance else float("nan"))


def context_figure(
    word: str, model: str, uses: Sequence[Use], influence: Mapping[str, ContextInfluence],
    vectors: Mapping[str, Float[np.ndarray, "uses dim"]], palette: Palette,
) -> "altair.TopLevelMixin":  # fmt: skip
    """What each layer does above, the uses in each layer of `vectors` below, as an Altair chart."""
    import altair as alt

    # A use that is spelt like no other has nothing to be compared with (`from_the_mean`).
    counts = Counter(use.spelling for use in uses)
    kept = [counts[use.spelling] > 1 for use in uses]
    compared = [use for use, alike in zip(uses, kept, strict=True) if alike]
    spellings = [use.spelling for use in compared]
    planes = {name: plane_of(one[kept], spellings) for name, one in vectors.items()} if compared else {}
    # The same in all plots, or a layer in which nothing changes would look like one in which all does.
    reach = 1.08 * max([1e-3, *(float(np.abs(plane.places).max()) for plane in planes.values())])
    pictures = [_picture(name, plane, compared, reach, palette) for name, plane in planes.items()]
    lines = [
        f"“{label(word)}” in {len(uses)} uses. Share due to context: how much of the vectors' squared length "
        "differs from use to use. Change: |v′ − v| / |v| when the words of one side are replaced by others.",
        "Pictures: the two directions in which the vectors differ most, seen from their mean, in units of "
        "their length, on the same scale in all layers. In a net with positions, where the word stands "
        "counts too.",
    ]
    return styled(
        alt.vconcat(
            alt.hconcat(_shares(influence, palette), _sides(influence, palette), spacing=50),
            *([alt.concat(*pictures, columns=_PER_LINE, spacing=24)] if pictures else []),
            spacing=34,
        ).properties(
            title=headed(model, lines, _PER_LINE * (_SIDE + 70)),
            description=f"How context changes the vectors of {shortened(word)} in {shortened(model)}",
        ),
        palette,
    )


def _shares(influence: Mapping[str, ContextInfluence], palette: Palette) -> Any:
    """Bars: of each layer, the share that is due to context."""
    import altair as alt

    values = [
        {"layer": name, "share": one.share} for name, one in influence.items() if not np.isnan(one.share)
    ]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=_layers(influence),
        y=alt.Y("share:Q", title="share due to context", scale=alt.Scale(domain=[0, 1]), axis=_numbers("%")),
        tooltip=[alt.Tooltip("layer:N"), alt.Tooltip("share:Q", format=".1%")],
    )
    number = base.mark_text(dy=-7, fontSize=11, color=palette.ink).encode(
        text=alt.Text("share:Q", format=".0%")
    )
    bars = base.mark_bar(color=palette.ramp[4], size=26)
    return alt.layer(bars, number).properties(width=_SIDE - 30, height=150)


def _sides(influence: Mapping[str, ContextInfluence], palette: Palette) -> Any:
    """Pairs of bars: of each layer, the change from the left and from the right."""
    import altair as alt

    values: list[dict[str, Any]] = [
        {"layer": name, "side": side, "change": change}
        for name, one in influence.items()
        for side, change in (("left", one.left), ("right", one.right))
        if not np.isnan(change)
    ]
    highest = 1.15 * max([0.1, *(value["change"] for value in values)])
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=_layers(influence),
        xOffset=alt.XOffset("side:N", scale=alt.Scale(domain=["left", "right"])),
        y=alt.Y(
            "change:Q",
            title="change of the vector",
            axis=_numbers(".2~f"),
            scale=alt.Scale(domain=[0, highest]),
        ),
        tooltip=[alt.Tooltip("layer:N"), alt.Tooltip("side:N"), alt.Tooltip("change:Q", format=".3f")],
    )
    colours = alt.Scale(domain=["left", "right"], range=[palette.ramp[4], palette.against[3]])
    bars = base.mark_bar().encode(
        color=alt.Color("side:N", scale=colours, legend=alt.Legend(title="words replaced on the"))
    )
    number = base.mark_text(dy=-7, fontSize=10, color=palette.ink).encode(
        text=alt.Text("change:Q", format=".2f")
    )
    return alt.layer(bars, number).properties(width=_SIDE - 30, height=150)


def _layers(influence: Mapping[str, ContextInfluence]) -> Any:
    import altair as alt

    return alt.X("layer:N", title=None, sort=list(influence), axis=alt.Axis(labelAngle=0))


def _numbers(format: str) -> Any:
    import altair as alt

    return alt.Axis(format=format, tickCount=4, grid=True, gridOpacity=0.4)


def _picture(name: str, plane: Plane, uses: Sequence[Use], reach: float, palette: Palette) -> Any:
    """Every use as a dot, its sentence as tooltip; some with a few words beside them."""
    import altair as alt

    excerpts = [label(use.excerpt(_ROOM), _SIDE, 10) for use in uses]
    labelled = labelled_uses(plane.places * _SIDE / (2 * reach), excerpts)
    values = [
        {
            "x": round(float(x), 5),
            "y": round(float(y), 5),
            "sentence": use.marked,
            "label": excerpt if number in labelled else "",
        }
        for number, (use, excerpt, (x, y)) in enumerate(zip(uses, excerpts, plane.places, strict=True))
    ]
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(tickCount=5, grid=True, gridOpacity=0.3)
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("x:Q", scale=scale, axis=axis, title=None),
        y=alt.Y("y:Q", scale=scale, axis=axis, title=None),
    )
    dots = base.mark_circle(size=42, opacity=0.55, color=palette.ramp[4]).encode(
        tooltip=[alt.Tooltip("sentence:N", title=" ")]
    )
    # Inwards from the dot, so that no sentence leaves the picture.
    named = base.transform_filter("datum.label !== ''").encode(text="label:N")
    look: dict[str, Any] = {"fontSize": 10, "color": palette.ink}
    words = [
        named.transform_filter("datum.x <= 0").mark_text(align="left", dx=7, **look),
        named.transform_filter("datum.x > 0").mark_text(align="right", dx=-7, **look),
    ]
    held = "one point" if np.isnan(plane.held) else f"{plane.held:.0%} of the variance"
    return alt.layer(dots, *words).properties(
        width=_SIDE, height=_SIDE, title=panel_title(f"{name}: {held}", _SIDE)
    )


def labelled_uses(places: Float[np.ndarray, "uses 2"], excerpts: Sequence[str]) -> list[int]:
    """Numbers of a few uses that are far from one another and whose excerpts do not meet.

    `places`: in pixels, from the middle of the picture; a label goes inwards from there.
    """
    # Six times as many candidates as labels: some excerpts meet one that is there already.
    chosen: list[int] = []
    boxes: list[tuple[float, float, float]] = []
    for number in spread_out(places, 6 * _LABELLED):
        x, y = places[number].tolist()
        width = _LETTER * len(excerpts[number]) + 7
        left, right = (x, x + width) if x <= 0 else (x - width, x)
        free = all(right < begin or end < left or abs(y - height) > _LINE for begin, end, height in boxes)
        if free and len(chosen) < _LABELLED:
            chosen.append(number)
            boxes.append((left, right, y))
    return chosen


def spread_out(places: Float[np.ndarray, "uses 2"], count: int) -> list[int]:
    """Numbers of places far from one another: each the farthest from those before it (Gonzalez 1985).

    Fewer than `count` if there are no more different places.
    """
    chosen = [int(np.argmax((places**2).sum(1)))]
    distances = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < count and distances.max() > 0:
        chosen.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return chosen
