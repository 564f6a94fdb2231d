"""Grids of positions and layers in pictures: the tick of each cell, and the cone below an output."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from atonce.figures.figure import Figure
from atonce.figures.labels import LONGEST, distinct, label
from atonce.figures.player import slider
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.result import Table
from atonce.studies.measurement.tick_views import Row, TickView

if TYPE_CHECKING:
    import altair

_CELL, _LINE = 31, 26
_NAMES = 110
_PER_LINE = {False: 3, True: 2}
"""Panels side by side: of layers, and of whole models."""


@dataclass(frozen=True, eq=False)
class GridFigure(Figure):
    """Panels of cells, positions to the right and layers upwards."""

    views: Sequence[TickView]

    @abstractmethod
    def said(self) -> Sequence[str]:
        """What is said below the headline."""

    def panel_title(self, view: TickView) -> str:
        """What is above a panel."""
        return view.heading

    @abstractmethod
    def cell(self, row: Row, place: int) -> dict[str, Any]:
        """What a cell shows."""

    @abstractmethod
    def drawn(self, base: Any, palette: Palette, last: int) -> list[Any]:
        """The marks of a panel; `last`: the last tick of the group it is in."""

    @abstractmethod
    def parameters(self) -> "list[altair.Parameter]":
        """What the controls of its page set."""

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        groups = []
        for whole, views in groupby(sorted(self.views, key=_whole), key=_whole):
            members = list(views)
            last = max(view.last for view in members)
            panels = [self._panel(view, palette, last) for view in members]
            groups.append(alt.concat(*panels, columns=_PER_LINE[whole], spacing=26))
        return styled(
            alt.vconcat(*groups, spacing=36)
            .resolve_scale(color="independent")
            .add_params(*self.parameters())
            .properties(title=headed(self.title, self.said(), 900), description=self.alt_text),
            palette,
        )

    def to_dict(self) -> dict[str, Any]:
        """Ticks and cones of all views."""
        return {"views": [view.as_dict() for view in self.views]}

    def tables(self) -> list[Table]:
        """The tick of every cell."""
        return [_table(view) for view in self.views]

    def _panel(self, view: TickView, palette: Palette, last: int) -> Any:
        import altair as alt

        names = distinct(row.name for row in view.rows)
        values = [
            {"row": names[row.name], "position": place + 1, **self.cell(row, place)}
            for row in view.rows
            for place in range(len(row.ticks))
        ]
        positions = max(len(row.ticks) for row in view.rows)
        base = alt.Chart(alt.InlineData(values=values)).encode(
            x=alt.X("position:O", title=None, axis=alt.Axis(labelAngle=0, labelColor=palette.faint)),
            y=alt.Y("row:O", title=None, sort=[names[row.name] for row in reversed(view.rows)]),
        )
        named = replace(view, title=label(view.title, 2 * LONGEST, 12))  # what follows is there whole
        title = self.panel_title(named)
        heading = alt.Title(title, fontSize=12, frame="group", offset=6)
        return alt.layer(*self.drawn(base, palette, last)).properties(
            width=positions * _CELL, height=len(view.rows) * _LINE, title=heading
        )


class TicksFigure(GridFigure):
    """The tick of every cell; on its page, cell after cell as ticks go by."""

    noun = "picture of ticks"

    @property
    def title(self) -> str:
        """The title of its page."""
        return "When each part can be computed"

    def said(self) -> Sequence[str]:
        """What is said below the headline."""
        return [
            "Each cell is a position of a layer, with the tick at which it can be there at the earliest: how "
            "many operations wait for one another before it. What has the same tick is computed at once, "
            "if there are processors enough. Training: the target is known. Generation: each word waits for "
            "the one before. The stronger the colour, the later; layers and models have a scale each."
        ]

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        spans = "; ".join(f"{view.heading}: {view.last} ticks" for view in self.views)
        return f"Grids of positions and layers, coloured by tick. {spans}."

    def panel_title(self, view: TickView) -> str:
        """What is above a panel."""
        return f"{view.heading}: {view.last} ticks"

    def controls(self) -> str:
        """A player of the ticks."""
        stops = sorted({0, *(tick for view in self.views for row in view.rows for tick in row.ticks)})
        return slider("tick", "Tick", stops, at=stops[-1], plays=True)

    def parameters(self) -> "list[altair.Parameter]":
        """The tick that is shown: the last, where nobody plays."""
        import altair as alt

        return [alt.param(name="tick", value=max(view.last for view in self.views))]

    def cell(self, row: Row, place: int) -> dict[str, Any]:
        """Its tick."""
        return {"tick": row.ticks[place]}

    def drawn(self, base: Any, palette: Palette, last: int) -> list[Any]:
        """Cells that are there in the colour of their tick, those of this very tick with an edge."""
        import altair as alt

        there, now = "datum.tick <= tick", "datum.tick == tick"
        ramp = alt.Scale(type="sqrt", domain=[0, last], range=list(palette.ramp[1:]), clamp=True)
        legend = alt.Legend(title="tick", tickCount=5)
        cells = base.mark_rect().encode(
            color=alt.condition(
                there, alt.Color("tick:Q", scale=ramp, legend=legend), alt.value(palette.background)
            ),
            stroke=alt.condition(now, alt.value(palette.ink), alt.value(palette.background)),
            strokeWidth=alt.condition(now, alt.value(2), alt.value(1)),
            tooltip=[alt.Tooltip("row:N", title="layer"), alt.Tooltip("position:O"), alt.Tooltip("tick:Q")],
        )
        # The ramp without its first colour, by the root of the tick: where its lightness asks for other ink.
        high = last * ((palette.numbers_change_at * 8 - 1) / 7) ** 2
        numbers = base.mark_text(fontSize=10).encode(
            text="tick:Q",
            opacity=alt.condition(there, alt.value(1), alt.value(0)),
            color=alt.condition(
                f"datum.tick < {high:.2f}",
                alt.value(palette.number_on_low),
                alt.value(palette.number_on_high),
            ),
        )
        return [cells, numbers]


class ConesFigure(GridFigure):
    """What goes into one position of the result."""

    noun = "picture of cones"

    @property
    def title(self) -> str:
        """The title of its page."""
        return "What goes into one output"

    def said(self) -> Sequence[str]:
        """What is said below the headline."""
        return [
            "Each cell is a position of a layer. Filled: the chosen output depends on it, by whatever way. "
            "What a fused layer does within itself is not seen: its states count as given by themselves."
        ]

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        return "Grids of positions and layers. Filled cells go into the chosen output of the topmost row."

    def controls(self) -> str:
        """A choice of the output."""
        return slider("output", "Output", list(range(1, self._outputs() + 1)), at=self._chosen(), plays=False)

    def parameters(self) -> "list[altair.Parameter]":
        """The output whose cone is shown, counted from 1."""
        import altair as alt

        return [alt.param(name="output", value=self._chosen())]

    def cell(self, row: Row, place: int) -> dict[str, Any]:
        """Of each output, whether it is in its cone."""
        return {"into": "".join(str(int(one)) for one in row.into[place].tolist())}

    def drawn(self, base: Any, palette: Palette, last: int) -> list[Any]:
        """Filled cells and empty ones."""
        import altair as alt

        inside = "substring(datum.into, output - 1, output) == '1'"
        return [
            base.mark_rect(stroke=palette.background, strokeWidth=1).encode(
                color=alt.condition(inside, alt.value(palette.ramp[5]), alt.value(palette.faint)),
                fillOpacity=alt.condition(inside, alt.value(1), alt.value(0.14)),
                tooltip=[alt.Tooltip("row:N", title="layer"), alt.Tooltip("position:O")],
            )
        ]

    def tables(self) -> list[Table]:
        """Which positions of each row go into the chosen output."""
        return [_cone_table(view, self._chosen()) for view in self.views]

    def _outputs(self) -> int:
        return max(row.into.shape[1] for view in self.views for row in view.rows)

    def _chosen(self) -> int:
        """Beyond the middle, so that both sides are seen."""
        return self._outputs() // 2 + 1


def _whole(view: TickView) -> bool:
    return view.whole


def _table(view: TickView) -> Table:
    rows = tuple((row.name, *map(str, row.ticks)) for row in reversed(view.rows))
    return Table(f"{view.heading}: {view.last} ticks", "(layer, then the tick of each position)", (), rows)


def _cone_table(view: TickView, output: int) -> Table:
    rows = tuple(
        (
            row.name,
            ", ".join(str(place) for place, inside in enumerate(row.into[:, output - 1], 1) if inside),
        )
        for row in reversed(view.rows)
    )
    return Table(view.heading, f"(layer, then the positions that go into output {output})", (), rows)
