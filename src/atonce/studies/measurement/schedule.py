"""Layers and models as grids of positions: when each cell can be computed, and what goes into an output."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from atonce.figures.figure import Figure
from atonce.figures.labels import LONGEST, distinct, label
from atonce.figures.page import slider
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.measure.ticks import Part, cones, ticks
from atonce.models.interface import Decoder
from atonce.models.recurrent import RecurrentDecoder
from atonce.models.seq2seq import Seq2Seq
from atonce.result import Result, Table
from atonce.shapes import Bool
from atonce.studies.measurement.phases import generation, teacher_forced
from atonce.studies.measurement.targets import (
    LayerKind,
    Model,
    Program,
    Target,
    sentences,
    sequence,
    target,
    vocab_of,
)

if TYPE_CHECKING:
    import altair

LENGTH = 8
"""Positions of a grid: enough to see the law, and few enough to read every number."""
LAYERS = 3
"""Of a kind of layer, so many on top of one another."""
SHOWN = (
    "rnn", "bidirectional-lstm", "mingru-scan", "convolution", "dilated-convolution", "self-attention",
    "additive-bigru", "general-bilstm", "transformer",
)  # fmt: skip
"""What is looked at where nothing is named."""

_CELL, _LINE = 31, 26
_PER_LINE = {False: 3, True: 2}
"""Panels side by side: of layers, and of whole models."""


@dataclass(frozen=True, eq=False)
class Row(Result):
    """One layer, position by position."""

    name: str
    ticks: tuple[int, ...]
    """When each position is there."""
    into: Bool[Tensor, "positions outputs"]
    """Which of its positions go into each position of the result."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, where `into` is of 0 and 1."""
        return super().to_dict() | {"into": self.into.int().tolist()}


@dataclass(frozen=True, eq=False)
class Schedule(Result):
    """One way of running one target."""

    title: str
    phase: str
    """"training" (with the target known), "generation", or nothing for a layer."""
    last: int
    """The last tick of all: the span."""
    rows: tuple[Row, ...]
    """From the input upwards; the last is the result."""

    @property
    def whole(self) -> bool:
        """Whether it is of a whole model."""
        return self.phase != ""

    @property
    def heading(self) -> str:
        """What it is of."""
        return f"{self.title}, {self.phase}" if self.phase else self.title


def shown() -> list[Target]:
    """What is looked at where nothing is named."""
    return [target(name) for name in SHOWN]


def schedules(targets: Sequence[Target], on_step: Callable[[], None] = lambda: None) -> list[Schedule]:
    """One of each layer, and two of each model: in training and in generation. `on_step`: after each."""
    found = []
    for one in targets:
        match one:
            case LayerKind():
                found.append(_layer_view(one))
            case Model():
                # One model for both phases, so that the two grids differ by the phase alone.
                model = one.built()
                scores, written = teacher_forced(model), generation(model)
                found.append(_model_view(one.title, "training", model, scores, "scores"))
                found.append(_model_view(one.title, "generation", model, written, "words written"))
            case Program():
                found.append(_program_view(one))
        on_step()
    return found


def parts_of(model: Seq2Seq) -> dict[str, Part]:
    """What of a model has a row: what is read, and what the layers of encoder and decoder give."""
    parts: dict[str, Part] = {"words read": cast(MethodType, model.source.read)}
    parts |= {f"encoder {number}": layer for number, layer in enumerate(model.encoder.layers, 1)}
    return parts | _decoder_parts(model.decoder)


def _decoder_parts(decoder: Decoder) -> dict[str, Part]:
    if not isinstance(decoder, RecurrentDecoder):
        # Layers that take whole sequences; of a recurrent decoder instead what one step is made of.
        return {f"decoder {number}": layer for number, layer in enumerate(getattr(decoder, "layers", ()), 1)}
    parts: dict[str, Part] = {f"state {number}": one for number, one in enumerate(decoder.stack.layers, 1)}
    if isinstance(decoder.attention, nn.Module):
        parts["attention"] = decoder.attention
    return parts | {"mixture": decoder.combine}


def _layer_view(kind: LayerKind) -> Schedule:
    stack = kind.stack(LAYERS)
    parts: dict[str, Part] = {f"layer {number}": layer for number, layer in enumerate(stack, 1)}
    return _view(kind.title, "", stack, (sequence(LENGTH),), parts, None)


def _program_view(program: Program) -> Schedule:
    """With a row for each module in it, if it is a module."""
    function = program.function
    parts: dict[str, Part] = dict(function.named_children()) if isinstance(function, nn.Module) else {}
    return _view(program.title, "", function, (sequence(LENGTH),), parts, "result")


def _model_view(
    title: str, phase: str, model: Seq2Seq, function: Callable[..., Any], result: str
) -> Schedule:
    return _view(title, phase, function, sentences(LENGTH, vocab_of(model)), parts_of(model), result)


def _view(
    title: str,
    phase: str,
    function: Callable[..., Any],
    inputs: tuple[Tensor, ...],
    parts: dict[str, Part],
    result: str | None,
) -> Schedule:
    """`result`: what the row of the result is called; None where the last part gives it."""
    found = ticks(function, inputs, parts)
    own = {} if result is None else {result: found.result}
    into = cones(function, inputs, parts)
    # The result is no part: each of its positions goes into itself alone.
    itself = torch.eye(len(found.result), dtype=torch.bool)
    # From the input upwards: by the tick of the first position, and the result on top.
    upwards = sorted((dict(found.by_part) | own).items(), key=lambda row: (row[0] in own, row[1][0]))
    rows = tuple(Row(name, when, into.get(name, itself)) for name, when in upwards)
    return Schedule(title, phase, found.last, rows)


@dataclass(frozen=True, eq=False)
class GridFigure(Figure):
    """Panels of cells, positions to the right and layers upwards."""

    said: ClassVar[str]
    """What stands below the title."""

    views: Sequence[Schedule]

    def panel_title(self, view: Schedule) -> str:
        """What is above a panel."""
        return view.heading

    @abstractmethod
    def cell(self, row: Row, place: int) -> dict[str, Any]:
        """What a cell shows."""

    @abstractmethod
    def drawn(self, base: Any, palette: Palette, last: int) -> list[Any]:
        """The marks of a panel; `last`: the last tick of the group it is in."""

    @abstractmethod
    def parameter(self) -> tuple[str, int]:
        """What the controls of its page set: its name, and where it begins."""

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        groups = []
        # Layers and models apart: models take ten times as many ticks, and layers would all be pale.
        for whole, views in groupby(sorted(self.views, key=_whole), key=_whole):
            members = list(views)
            last = max(view.last for view in members)
            panels = [self._panel(view, palette, last) for view in members]
            groups.append(alt.concat(*panels, columns=_PER_LINE[whole], spacing=26))
        name, value = self.parameter()
        return styled(
            alt.vconcat(*groups, spacing=36)
            .resolve_scale(color="independent")
            .add_params(alt.param(name=name, value=value))
            .properties(title=headed(self.title, [self.said], 900), description=self.alt_text),
            palette,
        )

    def _panel(self, view: Schedule, palette: Palette, last: int) -> Any:
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
    title = "When each part can be computed"
    said = (
        "Each cell is a position of a layer, with the tick at which it can be there at the earliest: how "
        "many operations wait for one another before it. What has the same tick is computed at once, "
        "if there are processors enough. Training: the target is known. Generation: each word waits for "
        "the one before. The stronger the colour, the later; layers and models have a scale each."
    )

    @property
    def alt_text(self) -> str:
        """What it shows, for readers who cannot see it."""
        spans = "; ".join(map(self.panel_title, self.views))
        return f"Grids of positions and layers, coloured by tick. {spans}."

    def panel_title(self, view: Schedule) -> str:
        """What is above a panel."""
        return f"{view.heading}: {view.last} ticks"

    def controls(self) -> str:
        """A player of the ticks."""
        stops = sorted({0, *(tick for view in self.views for row in view.rows for tick in row.ticks)})
        return slider("tick", "Tick", stops, at=stops[-1], plays=True)

    def parameter(self) -> tuple[str, int]:
        """The tick that is shown: the last, where nobody plays."""
        return "tick", max(view.last for view in self.views)

    def cell(self, row: Row, place: int) -> dict[str, Any]:
        """Its tick."""
        return {"tick": row.ticks[place]}

    def drawn(self, base: Any, palette: Palette, last: int) -> list[Any]:
        """Cells that are there in the colour of their tick, those of this very tick with an edge."""
        import altair as alt

        there, now = "datum.tick <= tick", "datum.tick == tick"
        # By the root: most differences are early, where a linear ramp has hardly any colour.
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

    def tables(self) -> list[Table]:
        """The tick of every cell."""
        return [
            Table(
                self.panel_title(view),
                "(layer, then the tick of each position)",
                (),
                tuple((row.name, *map(str, row.ticks)) for row in reversed(view.rows)),
            )
            for view in self.views
        ]


class ConesFigure(GridFigure):
    """What goes into one position of the result."""

    noun = "picture of cones"
    title = "What goes into one output"
    alt_text = "Grids of positions and layers. Filled cells go into the chosen output of the topmost row."
    said = (
        "Each cell is a position of a layer. Filled: the chosen output depends on it, by whatever way. "
        "What a fused layer does within itself is not seen: its states count as given by themselves."
    )

    def controls(self) -> str:
        """A choice of the output."""
        return slider("output", "Output", list(range(1, self._outputs() + 1)), at=self._chosen(), plays=False)

    def parameter(self) -> tuple[str, int]:
        """The output whose cone is shown, counted from 1."""
        return "output", self._chosen()

    def cell(self, row: Row, place: int) -> dict[str, Any]:
        """Of each output, whether it is in its cone."""
        return {"into": "".join(str(int(one)) for one in row.into[place].tolist())}

    def drawn(self, base: Any, palette: Palette, last: int) -> list[Any]:
        """Filled cells and empty ones."""
        import altair as alt

        # The cones of all outputs in one text of 0 and 1: the chart's parameter chooses, with no data anew.
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
        output = self._chosen()
        return [
            Table(
                view.heading,
                f"(layer, then the positions that go into output {output})",
                (),
                tuple((row.name, _places(row, output)) for row in reversed(view.rows)),
            )
            for view in self.views
        ]

    def _outputs(self) -> int:
        return max(row.into.shape[1] for view in self.views for row in view.rows)

    def _chosen(self) -> int:
        """Beyond the middle, so that both sides are seen."""
        return self._outputs() // 2 + 1


def _places(row: Row, output: int) -> str:
    return ", ".join(str(place) for place, inside in enumerate(row.into[:, output - 1], 1) if inside)


def _whole(view: Schedule) -> bool:
    return view.whole
