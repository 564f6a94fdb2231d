"""All that `atonce measure` finds, in one object: tables, pictures, a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atonce.figures import page
from atonce.figures.drawing_process import OF_ONE_USER, DrawingLimits
from atonce.figures.figure import FORMATS, Figure
from atonce.figures.style import LIGHT, Palette
from atonce.measure.growth import LENGTHS
from atonce.models.device import choose_device
from atonce.result import Table
from atonce.studies.html import render, today
from atonce.studies.measurement import Picture, growth, influence, schedule
from atonce.studies.measurement import clock as timing
from atonce.studies.measurement.clock import Timings
from atonce.studies.measurement.growth import GrowthResult
from atonce.studies.measurement.influence import InfluenceFigure
from atonce.studies.measurement.schedule import ConesFigure, TicksFigure
from atonce.studies.measurement.targets import Target, default_targets, target

if TYPE_CHECKING:
    import altair


@dataclass(eq=False)
class Measurement(Figure):
    """What was measured. As a drawing it is the picture of growth; its page has every picture."""

    noun = "measurement"
    formats = (*FORMATS, ".md")
    title = GrowthResult.title
    alt_text = GrowthResult.alt_text

    growth: GrowthResult
    clock: Timings | None = None
    targets: Sequence[Target] | None = None
    """What was asked for; None: the default."""
    _looks: tuple[TicksFigure, ConesFigure, InfluenceFigure] | None = field(
        default=None, init=False, repr=False
    )

    def to_dict(self) -> dict[str, Any]:
        """All counts, and all times if there are any."""
        return self.growth.to_dict() | ({} if self.clock is None else {"clock": self.clock.to_dict()})

    def tables(self) -> list[Table]:
        """All tables, those of the clock too."""
        return [*self.growth.tables(), *([] if self.clock is None else self.clock.tables())]

    def facts(self) -> list[tuple[str, str]]:
        """What its page says first."""
        return [*self.growth.facts(), *([] if self.clock is None else [("timed on", self.clock.machine)])]

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The picture of growth: an Altair chart to restyle or combine with others."""
        return self.growth.chart(palette)

    def picture(self, name: Picture) -> Figure:
        """One of its pictures. Raises LookupError for the clock's where nothing was timed."""
        match name:
            case "growth":
                return self.growth
            case "ticks":
                return self.look()[0]
            case "cones":
                return self.look()[1]
            case "influence":
                return self.look()[2]
            case "clock":
                if self.clock is None:
                    raise LookupError("nothing was timed")
                return self.clock

    def look(
        self, on_step: Callable[[], None] = lambda: None
    ) -> tuple[TicksFigure, ConesFigure, InfluenceFigure]:
        """Ticks, cones and influence: what takes a run of its own. `on_step`: called after each part."""
        # Kept: a page and a picture ask for the same, which takes seconds.
        if self._looks is None:
            of_schedules, of_influence = self._looked_at()
            views = schedule.schedules(of_schedules, on_step)
            found = influence.influences(of_influence, on_step)
            self._looks = TicksFigure(views), ConesFigure(views), InfluenceFigure(found)
        return self._looks

    def rounds(self) -> int:
        """How often `look` will call its `on_step`."""
        return sum(map(len, self._looked_at()))

    def to_page(self) -> str:
        """A page with every picture and table, which needs nothing else."""
        from markupsafe import Markup

        ticks, cones, reach = self.look()
        named = ("growth", self.growth), ("ticks", ticks), ("cones", cones), ("influence", reach)
        pictures: dict[str, Figure] = dict(named) | ({} if self.clock is None else {"clock": self.clock})
        return render(
            "measurement.html.jinja",
            title=self.title,
            kicker="atonce measure",
            date=today(),
            sections={name: name.capitalize() for name in pictures},
            script=page.script(),
            style=Markup(page.STYLE),
            facts=self.facts(),
            figures=[(name, name.capitalize(), Markup(one.to_html())) for name, one in pictures.items()],
        )

    def rendered(self, suffix: str, limits: DrawingLimits = OF_ONE_USER) -> bytes:
        """As every figure is; and `.md`, the tables as text."""
        if suffix == ".md":
            return "\n".join(table.markdown() for table in self.tables()).encode()
        return super().rendered(suffix, limits)

    def _looked_at(self) -> tuple[Sequence[Target], Sequence[Target]]:
        return self.targets or schedule.shown(), self.targets or influence.shown()


def measure(
    targets: Sequence[str] | None = None,
    lengths: Sequence[int] = LENGTHS,
    *,
    clock: bool | Sequence[int] = False,
    progress: Callable[[str, int], Callable[[], None]] = lambda what, total: lambda: None,
) -> Measurement:
    """Measure layers, architectures, run folders or module:callable by name, or else the lineage.

    `lengths`: at which work, span and paths are counted. `clock`: time them too, at the lengths given or at
    `clock.LENGTHS`; that takes minutes, and idle cores. `progress`: is told what begins and how many steps
    it has, and gives what is called after each.

    Raises RecipeError for what there is not, and for too few lengths to fit a law.
    """
    named = None if targets is None else [target(name) for name in targets]
    # Two defaults: all layers are counted, some of them are looked at (`Measurement._looked_at`).
    wanted = named or default_targets()
    on_step = progress("Measuring", growth.rounds(wanted, lengths))
    # Counted first: it refuses wrong lengths at once, where timing takes minutes.
    grown = growth.measure_growth(wanted, lengths, on_step=on_step)
    if clock is False:
        return Measurement(grown, None, named)
    times = timing.LENGTHS if clock is True else clock
    on_step = progress("Timing", timing.rounds(wanted, times))
    timed = timing.measure_times(wanted, times, device=choose_device(), on_step=on_step)
    return Measurement(grown, timed, named)
