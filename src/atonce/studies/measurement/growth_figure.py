"""Growth in a picture: how work and span rise with the length, on logarithmic axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.measure.laws import Law
from atonce.result import Table
from atonce.studies.measurement.families import Family, family_of_layer, family_of_model
from atonce.studies.measurement.law_tables import law_tables
from atonce.studies.measurement.line_panel import Line, line_panel
from atonce.studies.measurement.measured import Measured

if TYPE_CHECKING:
    import altair


@dataclass(eq=False)
class GrowthFigure(Figure):
    """Panels of curves, and the tables."""

    measured: Measured

    noun = "picture of growth"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        panels = [line_panel(title, lines, palette) for title, lines in self._panels().items()]
        lengths = ", ".join(map(str, self.measured.lengths))
        return styled(
            alt.concat(*panels, columns=2, spacing=30).properties(
                title=headed(
                    "What is computed at once, and what waits",
                    [f"Counted in the running code, at n = {lengths}. Both axes are logarithmic: a line that "
                     "doubles with n is linear growth, a level one waits for nothing."],
                    760,
                ),
                description=self.alt_text,
            ),
            palette,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """All that was measured."""
        return self.measured.as_dict()

    @property
    def title(self) -> str:
        """The title of its page."""
        return "What is computed at once, and what waits"

    def facts(self) -> Sequence[tuple[str, str]]:
        """What its page says first."""
        return [
            ("lengths", ", ".join(map(str, self.measured.lengths))),
            ("without a rule", ", ".join(self.measured.unknown) or "no operation"),
            *((kind, ", ".join(names)) for kind, names in self.measured.worst() if kind != "without a rule"),
        ]

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        return "Curves of work and span by length, for layers and for models. The tables have the laws."

    def tables(self) -> list[Table]:
        """The laws."""
        return law_tables(self.measured)

    def _panels(self) -> dict[str, list[Line]]:
        layers, models = self.measured.layers, self.measured.models
        of_layer = [(row, family_of_layer(row.name)) for row in layers]
        of_model = [(row, family_of_model(row.name)) for row in models]
        panels = {
            "Span of a layer": [_of(row.title, family, row.growth.span) for row, family in of_layer],
            "Work of a layer": [_of(row.title, family, row.growth.work) for row, family in of_layer],
            "Span of a training step": [_of(row.title, family, row.step.span) for row, family in of_model],
            "Span of generation": [_of(row.title, family, row.generation.span) for row, family in of_model],
        }
        return {title: lines for title, lines in panels.items() if lines}


def _of(title: str, family: Family, law: Law) -> Line:
    return Line(title, family, law.values, str(law))
