"""All that `atonce measure` finds, in one object: tables, pictures, a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from atonce.figures import page
from atonce.figures.drawing_process import OF_ONE_USER, DrawingLimits
from atonce.figures.figure import FORMATS, Figure
from atonce.measure.growth import LENGTHS
from atonce.models.device import choose_device
from atonce.result import Table
from atonce.studies.measurement import clock as clocks
from atonce.studies.measurement import distance, tick_views
from atonce.studies.measurement.clock import Clock
from atonce.studies.measurement.clock_figure import ClockFigure
from atonce.studies.measurement.clock_tables import clock_tables
from atonce.studies.measurement.distance_figure import InfluenceFigure
from atonce.studies.measurement.growth_figure import GrowthFigure
from atonce.studies.measurement.law_tables import law_tables
from atonce.studies.measurement.measured import measure as run
from atonce.studies.measurement.measured import rounds
from atonce.studies.measurement.pictures import Picture
from atonce.studies.measurement.subjects import Subject, default_subjects, subject
from atonce.studies.measurement.ticks_figure import ConesFigure, TicksFigure


@dataclass(eq=False)
class Measurement(GrowthFigure):
    """What was measured. As a drawing it is the picture of growth; its page has every picture."""

    clock: Clock | None = None
    subjects: Sequence[Subject] | None = None
    """What was asked for; None: the default."""
    _looks: "tuple[TicksFigure, ConesFigure, InfluenceFigure] | None" = field(
        default=None, init=False, repr=False
    )

    noun = "measurement"
    formats = (*FORMATS, ".md")

    def tables(self) -> list[Table]:
        """All tables, those of the clock too."""
        return [*law_tables(self.measured), *([] if self.clock is None else clock_tables(self.clock))]

    def picture(self, name: Picture) -> Figure:
        """One of its pictures. Raises LookupError for the clock's where nothing was timed."""
        match name:
            case "growth":
                return GrowthFigure(self.measured)
            case "ticks":
                return self.look()[0]
            case "cones":
                return self.look()[1]
            case "influence":
                return self.look()[2]
            case "clock":
                if self.clock is None:
                    raise LookupError("nothing was timed")
                return ClockFigure(self.clock)

    def look(
        self, watch: Callable[[], None] = lambda: None
    ) -> tuple[TicksFigure, ConesFigure, InfluenceFigure]:
        """Ticks, cones and influence: what takes a run of its own. `watch`: called after each part."""
        if self._looks is None:
            seen, felt = self._looked_at()
            views = tick_views.tick_views(seen, watch)
            influences = distance.influences(felt, watch)
            self._looks = TicksFigure(views), ConesFigure(views), InfluenceFigure(influences)
        return self._looks

    def rounds(self) -> int:
        """How often `look` will call its `watch`."""
        return sum(map(len, self._looked_at()))

    def to_page(self) -> str:
        """A page with every picture and table, which needs nothing else."""
        pictures = [GrowthFigure(self.measured), *self.look()]
        clock = [] if self.clock is None else [ClockFigure(self.clock)]
        figures = "\n".join(one.to_html() for one in [*pictures, *clock])
        return page.whole_page(self.title, self.facts(), figures)

    def to_dict(self) -> dict[str, Any]:
        """All counts, and all times if there are any."""
        return self.measured.as_dict() | ({} if self.clock is None else {"clock": self.clock.as_dict()})

    def facts(self) -> Sequence[tuple[str, str]]:
        """What its page says first."""
        return [*super().facts(), *([] if self.clock is None else [("timed on", self.clock.machine)])]

    def rendered(self, suffix: str, limits: DrawingLimits = OF_ONE_USER) -> bytes:
        """As before; and `.md`, the tables as text."""
        if suffix == ".md":
            return "\n".join(table.markdown() for table in self.tables()).encode()
        return super().rendered(suffix, limits)

    def _looked_at(self) -> tuple[Sequence[Subject], Sequence[Subject]]:
        return self.subjects or tick_views.shown(), self.subjects or distance.shown()


def measure(
    subjects: Sequence[str] | None = None,
    lengths: Sequence[int] = LENGTHS,
    *,
    clock: bool | Sequence[int] = False,
    watch: Callable[[str, int], Callable[[], None]] = lambda what, total: lambda: None,
) -> Measurement:
    """Measure layers, architectures, run folders or module:callable by name, or else the lineage.

    `lengths`: at which work, span and paths are counted. `clock`: time them too, at the lengths given or at
    `clock.LENGTHS`; that takes minutes, and idle cores. `watch`: is told what begins and how many parts it
    has, and gives what is called after each.

    Raises RecipeError for what there is not, and for lengths from which no law can be told.
    """
    named = None if subjects is None else [subject(name) for name in subjects]
    wanted = named or default_subjects()
    measured = run(wanted, lengths, watch=watch("Measuring", rounds(wanted, lengths)))
    if clock is False:
        return Measurement(measured, None, named)
    times = clocks.LENGTHS if clock is True else clock
    timing = watch("Timing", clocks.rounds(wanted, times))
    timed = clocks.clock(wanted, times, device=choose_device(), watch=timing)
    return Measurement(measured, timed, named)
