"""Influence by distance in pictures."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atonce.figures.drawing import Drawing
from atonce.figures.labels import label
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.studies.measurement.distance import LAYERS, Influence
from atonce.studies.measurement.families import colour_of, family_of_layer, family_of_model

if TYPE_CHECKING:
    import altair

_WIDTH, _HEIGHT, _PER_LINE = 250, 110, 3
_LEAST = 1e-12
"""What is less is drawn as little as this."""


@dataclass(frozen=True, eq=False)
class InfluenceFigure(Drawing):
    """A panel for each: a bar for each distance, none where there is no influence at all."""

    influences: Sequence[Influence]

    noun = "picture of influence"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        said = [
            "How much the state of the middle word changes with the word at each distance: the norm of the "
            "Jacobian, in float64, as a share of the strongest. Where there is no bar, it cannot depend on "
            f"it. Layers: {LAYERS} on top of one another, with random weights; models: their encoders."
        ]
        panels = [_panel(one, palette) for one in self.influences]
        return styled(
            alt.concat(*panels, columns=_PER_LINE, spacing=24).properties(
                title=headed(self.headline(), said, _PER_LINE * _WIDTH), description=self.label()
            ),
            palette,
        )

    def to_dict(self) -> dict[str, Any]:
        """The share of each distance."""
        return {"influence": [one.as_dict() for one in self.influences]}

    def headline(self) -> str:
        """The title of its page."""
        return "How far influence goes"

    def facts(self) -> Sequence[tuple[str, str]]:
        """Nothing that the figure does not say."""
        return []

    def label(self) -> str:
        """What it shows, for who cannot see it."""
        return "A chart for each: influence on a word by distance, on a logarithmic scale."

    def tables(self) -> str:
        """Some distances of each."""
        distances = [-32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32]
        head = "".join(f'<th scope="col">{distance:+d}</th>' for distance in distances)
        rows = "\n".join(
            f'<tr><th scope="row">{html.escape(one.title)}</th>'
            + "".join(f"<td>{one.by_distance[distance]:.1e}</td>" for distance in distances)
            + "</tr>"
            for one in self.influences
        )
        return (
            "<table>\n<caption>Influence by distance, as a share of the strongest</caption>\n"
            f"<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
        )

    def area(self) -> float:
        """About how many square pixels it takes at its natural size."""
        lines = -(-len(self.influences) // _PER_LINE)
        return float(_PER_LINE * (_WIDTH + 70) * (lines * (_HEIGHT + 70) + 120))

    def text(self) -> str:
        """Every character that appears on it."""
        return "".join(one.title for one in self.influences)


def _panel(one: Influence, palette: Palette) -> Any:
    import altair as alt

    colour = colour_of((family_of_model if one.whole else family_of_layer)(one.name), palette)
    values = [
        {"distance": distance, "share": max(share, _LEAST), "exact": share, "least": _LEAST}
        for distance, share in one.by_distance.items()
        if share > 0
    ]
    scale = alt.Scale(type="log", domain=[_LEAST, 1.5], nice=False)
    farthest = max(one.by_distance)
    return (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar(color=colour, size=3)
        .encode(
            x=alt.X(
                "distance:Q", title=None, scale=alt.Scale(domain=[-farthest, farthest], nice=False),
                axis=alt.Axis(values=[-32, -16, 0, 16, 32], grid=False),
            ),
            y=alt.Y(
                "share:Q", title=None, scale=scale,
                axis=alt.Axis(
                    values=[1e-12, 1e-8, 1e-4, 1], format="~g", gridColor=palette.faint, gridOpacity=0.25
                ),
            ),
            y2="least:Q",
            tooltip=[alt.Tooltip("distance:Q"), alt.Tooltip("exact:Q", title="share", format=".2e")],
        )
        .properties(
            width=_WIDTH, height=_HEIGHT,
            title=alt.Title(label(one.title, _WIDTH, 12), fontSize=12, frame="group", offset=6),
        )
    )  # fmt: skip
