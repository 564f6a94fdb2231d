"""Influence by distance in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atonce.figures.figure import Figure
from atonce.figures.labels import label
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.result import Table
from atonce.studies.measurement.distance import LAYERS, Influence
from atonce.studies.measurement.families import colour_of, family_of_layer, family_of_model

if TYPE_CHECKING:
    import altair

_WIDTH, _HEIGHT, _PER_LINE = 250, 110, 3
_LEAST = 1e-12
"""What is less is drawn as little as this."""
_DISTANCES = (-32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32)
"""Those of the table."""


@dataclass(frozen=True, eq=False)
class InfluenceFigure(Figure):
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
                title=headed(self.title, said, _PER_LINE * _WIDTH), description=self.alt_text
            ),
            palette,
        )

    def to_dict(self) -> dict[str, Any]:
        """The share of each distance."""
        return {"influence": [one.as_dict() for one in self.influences]}

    @property
    def title(self) -> str:
        """The title of its page."""
        return "How far influence goes"

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        return "A chart for each: influence on a word by distance, on a logarithmic scale."

    def tables(self) -> list[Table]:
        """Some distances of each."""
        rows = tuple(
            (one.title, *(f"{one.by_distance[distance]:.1e}" for distance in _DISTANCES))
            for one in self.influences
        )
        header = ("", *(f"{distance:+d}" for distance in _DISTANCES))
        return [Table("Influence by distance, as a share of the strongest", "", header, rows)]


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
