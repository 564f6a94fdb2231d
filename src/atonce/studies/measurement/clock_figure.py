"""The clock in pictures: how times grow with the length, on logarithmic axes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.result import Table
from atonce.studies.measurement.clock import Clock, Group
from atonce.studies.measurement.clock_tables import clock_tables
from atonce.studies.measurement.families import family_of_layer, family_of_model
from atonce.studies.measurement.line_panel import Line, line_panel
from atonce.studies.measurement.runners import WIDTH

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False)
class ClockFigure(Figure):
    """A panel for each phase and batch, of layers and of models."""

    clock: Clock

    noun = "picture of times"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        panels = [line_panel(title, lines, palette, unit="s") for title, lines in self._panels().items()]
        on = f" on {max(self.clock.threads)} threads" if self.clock.device == "cpu" else ""
        said = [
            f"Median seconds of a call by length{on}, width {WIDTH}; {self.clock.machine}; "
            f"{self.clock.device}. Both axes are logarithmic."
        ]
        return styled(
            alt.concat(*panels, columns=2, spacing=30).properties(
                title=headed(self.title, said, 760), description=self.alt_text
            ),
            palette,
        )

    def to_dict(self) -> dict[str, Any]:
        """All that was timed."""
        return self.clock.as_dict()

    @property
    def title(self) -> str:
        """The title of its page."""
        return "What the clock says"

    def facts(self) -> Sequence[tuple[str, str]]:
        """What its page says first."""
        return [("machine", self.clock.machine), ("device", self.clock.device)]

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        return "Curves of seconds by length. The tables have the numbers."

    def tables(self) -> list[Table]:
        """The times."""
        return clock_tables(self.clock)

    def _panels(self) -> dict[str, list[Line]]:
        return {group.title: list(_lines(group)) for group in self.clock.groups()}


def _lines(group: Group) -> Iterator[Line]:
    family = family_of_model if group.whole else family_of_layer
    times: dict[tuple[str, str], dict[int, int | float]] = {}
    for one in group.timings:
        times.setdefault((one.name, one.title), {})[one.length] = one.seconds
    for (name, title), values in times.items():
        yield Line(title, family(name), values)
