"""The chart of attention maps, in Vega-Lite, from which pictures, pages and notebooks are made.

Words are encoded by their place in the sentence and labelled from a list, because a sentence may have the
same word twice, and these are two rows and not one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from atonce.explain.words import AttentionMap
from atonce.figures import fonts
from atonce.figures.labels import label, shortened, width_px
from atonce.figures.style import LIGHT, Palette, headed, panel_title, styled

if TYPE_CHECKING:
    import altair

_Side = Literal["right", "bottom"]

_NUMBERS_UP_TO = 12  # words on the longer side of a map that still has room for the weights in its cells


def text_figure(maps: Sequence[AttentionMap], model: str, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
    """Draw `maps`, one or a grid of them, as an Altair chart headed by the name of the `model`."""
    import altair as alt

    cell_px = _cell_px(maps)
    titles, shared_title = _panel_titles([one.title for one in maps])
    per_line = _panels_per_line(maps)
    # Heads of one layer have the same words: they are written at the edges of the grid alone.
    alike = len({(one.rows, one.columns) for one in maps}) == 1
    signed = any(one.signed for one in maps)
    keys: _Side = "bottom" if signed else "right"  # two of them beside the panels: too wide
    tall = max(len(one.rows) for one in maps) * cell_px > 300  # too far below the words of the first line
    panels = [
        _panel(
            one,
            number=i,
            title=title,
            cell_px=cell_px,
            palette=palette,
            words_on=(not alike or tall or i < per_line, not alike or i % per_line == 0),
            key=keys if i == 0 or one.signed else None,
        )
        for i, (one, title) in enumerate(zip(maps, titles, strict=True))
    ]
    rules = dict.fromkeys(one.rule for one in maps if one.rule)
    width = min(per_line, len(panels)) * max(len(one.columns) for one in maps) * cell_px
    chart: Any = panels[0] if len(panels) == 1 else alt.concat(*panels, columns=per_line, spacing=22)
    if signed:  # weights go from 0 to 1, their difference from -1 to 1
        chart = chart.resolve_scale(color="independent")
    chart = chart.properties(
        title=headed(model, (shared_title, *rules), width),
        description=f"Attention of {shortened(model)}: {'; '.join(shortened(one.title) for one in maps)}",
    )
    # Not among the properties: altair would check every cell against its schema, for seconds in a long text.
    chart.datasets = {f"cells_{i}": _rows_of_data(one) for i, one in enumerate(maps)}
    return styled(chart, palette)


def _panel(
    one: AttentionMap, *, number: int, title: str, cell_px: int, palette: Palette,
    words_on: tuple[bool, bool], key: _Side | None,
) -> Any:  # fmt: skip
    """One map. `words_on`: is it labelled on top and on the left. `key`: where its colours are explained."""
    import altair as alt

    row_words, column_words = f"row_words_{number}", f"column_words_{number}"
    row_labels, column_labels = f"row_labels_{number}", f"column_labels_{number}"
    # Lists of words as parameters, not in each cell: a long text has tens of thousands of cells.
    rows, columns = ([label(word) for word in words] for words in (one.rows, one.columns))
    on_top, on_left = words_on
    side_px = max(1, len(one.columns)) * cell_px
    base = (
        alt.Chart(alt.NamedData(f"cells_{number}"))
        .transform_calculate(row_word=f"{row_words}[datum.row]", column_word=f"{column_words}[datum.column]")
        .encode(
            x=_across(one, columns, column_labels, cell_px, labelled=on_top, in_grid=title != ""),
            y=_down(one, row_labels, cell_px, labelled=on_left),
            tooltip=[
                alt.Tooltip("row_word:N", title=one.row_axis),
                alt.Tooltip("column_word:N", title=one.column_axis),
                alt.Tooltip("weight:Q", title="weight", format=".3f"),
            ],
        )
    )
    layers = [_cells(base, one, cell_px, palette, key=key)]
    if max(one.weights.shape) <= _NUMBERS_UP_TO and title == "":
        layers.append(_numbers(base, palette))
    return (
        alt.layer(*layers)
        .add_params(
            alt.param(name=row_words, value=list(one.rows)),
            alt.param(name=column_words, value=list(one.columns)),
            alt.param(name=row_labels, value=rows),
            alt.param(name=column_labels, value=columns),
        )
        .properties(
            width=side_px,
            height=max(1, len(one.rows)) * cell_px,
            **({"title": panel_title(title, side_px, offset=8)} if title else {}),
        )
    )


def _across(
    one: AttentionMap, columns: Sequence[str], labels: str, cell_px: int, *, labelled: bool, in_grid: bool
) -> Any:
    """The columns, in the direction their script is read; `labels` names the list of their labels."""
    import altair as alt

    places = list(range(len(one.columns)))
    title = one.column_axis
    # As a whole sentence: a number or a name in it runs from left to right all the same.
    if fonts.is_right_to_left("".join(one.columns)):
        places.reverse()
        title += " (right to left)"
    return alt.X(
        "column:O",
        scale=alt.Scale(domain=places),
        axis=alt.Axis(
            orient="top",
            title=title if labelled else None,
            labels=labelled,
            labelExpr=f"{labels}[datum.value]",
            labelAngle=_label_angle(columns, cell_px, in_grid=in_grid),
            labelBaseline="middle",
            labelPadding=7,
            labelFont=_label_font(one.columns),
            labelFontSize=_font_px(cell_px),
        ),
    )


def _down(one: AttentionMap, labels: str, cell_px: int, *, labelled: bool) -> Any:
    """The rows, the first on top; `labels` names the list of their labels."""
    import altair as alt

    return alt.Y(
        "row:O",
        scale=alt.Scale(domain=list(range(len(one.rows)))),
        axis=alt.Axis(
            title=one.row_axis if labelled else None,
            labels=labelled,
            labelExpr=f"{labels}[datum.value]",
            labelFont=_label_font(one.rows),
            labelFontSize=_font_px(cell_px),
        ),
    )


def _cells(base: Any, one: AttentionMap, cell_px: int, palette: Palette, *, key: _Side | None) -> Any:
    import altair as alt

    if one.signed:  # zero is nearly the page, and equal distances from it are equally light
        half = len(palette.against)
        colours = [*palette.against[:0:-1], *palette.ramp[:half]]
        domain = [at / (half - 1) for at in range(1 - half, half)]
        # By way of Lab: by way of hues, between blue and brown there would be pink.
        scale = alt.Scale(domain=domain, range=colours, clamp=True, interpolate="lab")
        values, form = [-1, -0.5, 0, 0.5, 1], "+.2~f"
    else:
        # Always from 0 to 1, so that heads, models and figures can be compared by eye.
        scale = alt.Scale(domain=[0, 1], range=list(palette.ramp), clamp=True)
        values, form = [0, 0.25, 0.5, 0.75, 1], ".2~f"
    legend = alt.Legend(title=one.measure, values=values, format=form, orient=key) if key else None
    return base.mark_rect(stroke=palette.background, strokeWidth=1 if cell_px >= 20 else 0.5).encode(
        color=alt.Color("weight:Q", scale=scale, legend=legend)
    )


def _numbers(base: Any, palette: Palette) -> Any:
    """The weight in each cell, but for those that would be written as 0.00."""
    import altair as alt

    return (
        base.transform_filter("datum.weight >= 0.005")
        .mark_text(fontSize=10)
        .encode(
            text=alt.Text("weight:Q", format=".2f"),
            color=alt.condition(
                f"datum.weight < {palette.numbers_change_at}",
                alt.value(palette.number_on_low),
                alt.value(palette.number_on_high),
            ),
        )
    )


def _label_font(words: Sequence[str]) -> Any:
    """The font of each label, by the place of its word."""
    # The renderer of .png takes one family for a text: a sentence of two scripts needs one for each word.
    places: dict[str, list[int]] = {}
    for place, families in enumerate(fonts.families_for(words)):
        places.setdefault(families, []).append(place)
    conditions = [
        {"test": f"indexof({where}, datum.value) >= 0", "value": families}
        for families, where in places.items()
        if families != fonts.LATIN
    ]
    return {"condition": conditions, "value": fonts.LATIN} if conditions else fonts.LATIN


def _rows_of_data(one: AttentionMap) -> list[dict[str, int | float | None]]:
    return [
        {"row": row, "column": column, "weight": None if np.isnan(weight) else round(float(weight), 4)}
        for (row, column), weight in np.ndenumerate(one.weights)
    ]


def _panel_titles(titles: Sequence[str]) -> tuple[list[str], str]:
    """A short title for each panel, and what they share, which is said once.

    "decoder.attention, head 1" and "decoder.attention, head 2" are head 1 and head 2 of decoder.attention.
    """
    if len(titles) == 1:
        return [""], titles[0]
    parts = [title.split(", ") for title in titles]
    shared = 0
    while len({tuple(part[: shared + 1]) for part in parts}) == 1 and shared + 1 < min(map(len, parts)):
        shared += 1
    return [", ".join(part[shared:]) for part in parts], ", ".join(parts[0][:shared])


def _panels_per_line(maps: Sequence[AttentionMap]) -> int:
    """Panels side by side: as many as make the figure about as wide as a page or a screen."""
    panel_px = max(1, max(len(one.columns) for one in maps)) * _cell_px(maps) + 30
    return min(len(maps), max(2, min(4, 1000 // panel_px)))


def _cell_px(maps: Sequence[AttentionMap]) -> int:
    """The side of a cell in pixels: wide where there are few words, never too small for a line of text."""
    longest = max(max(one.weights.shape) for one in maps)
    if len(maps) > 1:
        return 22 if longest <= 12 else 16 if longest <= 24 else 12
    return 36 if longest <= _NUMBERS_UP_TO else 24 if longest <= 24 else 16 if longest <= 60 else 13


def _font_px(cell_px: int) -> int:
    return 12 if cell_px >= 20 else 11 if cell_px >= 16 else 10


def _label_angle(words: Sequence[str], cell_px: int, *, in_grid: bool) -> int:
    """Level if every word fits above its cell, else slanted; upright where slanted words would collide."""
    if all(width_px(word, _font_px(cell_px)) <= cell_px - 2 for word in words):
        return 0
    return -90 if in_grid or cell_px < 20 else -45
