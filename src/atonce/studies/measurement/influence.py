"""How far influence goes: how much a state changes with each word around it, by their distance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from atonce.figures.figure import Figure
from atonce.figures.labels import label
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.measure.influence import influence_on
from atonce.models.seq2seq import Seq2Seq
from atonce.result import HIDDEN, Result, Table
from atonce.shapes import Float
from atonce.studies.measurement.line_chart import colour_of, family_of
from atonce.studies.measurement.targets import (
    DIM,
    LayerKind,
    Model,
    Program,
    Target,
    sentences,
    target,
    vocab_of,
)

if TYPE_CHECKING:
    import altair

# Odd, so that one is in the middle, with 32 on either side.
POSITIONS = 65
MIDDLE = POSITIONS // 2
BATCH = 8
LAYERS = 4
"""Of a kind of layer, so many on top of one another."""
SHOWN = (
    "feed-forward", "convolution", "dilated-convolution", "windowed-self-attention", "rnn", "gru", "lstm",
    "bidirectional-lstm", "mingru-scan", "self-attention",
)  # fmt: skip
"""What is looked at where nothing is named."""
_WIDTH, _HEIGHT, _PER_LINE = 250, 110, 3
_LEAST = 1e-12
"""What is less is drawn as little as this."""
_DISTANCES = (-32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32)
"""Those of the table."""


@dataclass(frozen=True)
class Influence(Result):
    """How much the state in the middle changes with each input."""

    name: str
    title: str
    whole: bool = field(metadata=HIDDEN)
    """Whether it is the encoder of a whole model."""
    by_distance: Mapping[int, float]
    """From the farthest to the left (below zero) to the farthest to the right: the norm of the Jacobian, in
    float64, as a share of the strongest. Zero: the state cannot depend on it."""


def shown() -> list[Target]:
    """What is looked at where nothing is named."""
    return [target(name) for name in SHOWN]


def influences(targets: Sequence[Target], on_step: Callable[[], None] = lambda: None) -> list[Influence]:
    """Of layers, a few on top of one another, and of the encoders of models. `on_step`: called after each.

    As they are: layers and architectures with random weights, a run with what it has learned.
    """
    found = []
    for one in targets:
        inputs, function = _prepared(one)
        norms = influence_on(function, inputs, MIDDLE)
        # Shares, as the scale of random weights says nothing; with the least number, all zeros are no NaN.
        shares = (norms / norms.max().clamp(min=torch.finfo(norms.dtype).tiny)).tolist()
        by_distance = {place - MIDDLE: share for place, share in enumerate(shares)}
        found.append(Influence(one.name, one.title, isinstance(one, Model), by_distance))
        on_step()
    return found


def _prepared(one: Target) -> tuple[Float[Tensor, "batch positions dim"], Callable[[Tensor], Any]]:
    # Layers draw their weights from torch's own generator: the same figure each time.
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    # Float64: in float32 a gradient over long distances becomes exactly zero, though it is not.
    vectors = torch.randn(BATCH, POSITIONS, DIM, generator=draw, dtype=torch.float64)
    match one:
        case LayerKind():
            return vectors, one.stack(LAYERS).double().eval()
        case Model():
            return _encoder(one.built())
        case Program(function=torch.nn.Module() as module):
            return vectors, module.double()
        case Program():
            return vectors, one.function


def _encoder(model: Seq2Seq) -> tuple[Float[Tensor, "batch positions dim"], Callable[[Tensor], Any]]:
    """From the vectors of random tokens to their states in context."""
    exact = model.double()
    # Vectors and not tokens are the input: there is no gradient with respect to a token's number.
    tokens, _ = sentences(POSITIONS, vocab_of(model), BATCH)
    vectors, mask = exact.source.read(tokens, torch.ones_like(tokens, dtype=torch.bool))
    return vectors, lambda states: exact.encoder(states, mask).states


@dataclass(frozen=True, eq=False)
class InfluenceFigure(Figure):
    """A panel for each: a bar for each distance, none where there is no influence at all."""

    noun = "picture of influence"
    title = "How far influence goes"
    alt_text = "A chart for each: influence on a word by distance, on a logarithmic scale."

    influence: Sequence[Influence]

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        said = [
            "How much the state of the middle word changes with the word at each distance: the norm of the "
            "Jacobian, in float64, as a share of the strongest. Where there is no bar, it cannot depend on "
            f"it. Layers: {LAYERS} on top of one another, with random weights; models: their encoders."
        ]
        panels = [_panel(one, palette) for one in self.influence]
        return styled(
            alt.concat(*panels, columns=_PER_LINE, spacing=24).properties(
                title=headed(self.title, said, _PER_LINE * _WIDTH), description=self.alt_text
            ),
            palette,
        )

    def tables(self) -> list[Table]:
        """Some distances of each."""
        rows = tuple(
            (one.title, *(f"{one.by_distance[distance]:.1e}" for distance in _DISTANCES))
            for one in self.influence
        )
        header = ("", *(f"{distance:+d}" for distance in _DISTANCES))
        return [Table("Influence by distance, as a share of the strongest", "", header, rows)]


def _panel(one: Influence, palette: Palette) -> Any:
    import altair as alt

    # The colours of the curves of growth, so that a reader finds the same layer there.
    colour = colour_of(family_of(one.name, whole=one.whole), palette)
    values = [
        {"distance": distance, "share": max(share, _LEAST), "exact": share, "least": _LEAST}
        for distance, share in one.by_distance.items()
        if share > 0  # a logarithmic axis has no place for zero, and no bar says "not at all"
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
