"""What the page asks and is told: what a model looks at, what it computes at once, and how it learned."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from atonce.explain.text_heatmap import End
from atonce.seeds import JsonSeed
from atonce.serve.drawn import Format
from atonce.serve.messages import (
    AlternativeMessage,
    Beam,
    Finite,
    Flag,
    Matrix,
    Message,
    Place,
    SideMessage,
    Temperature,
    Text,
)

Phase = Literal["training", "generation"]
Name = Annotated[Text, Field(max_length=200)]
Heads = Annotated[tuple[Annotated[Place, Field(ge=1)], ...], Field(fail_fast=True, max_length=1_000)]
Words = Annotated[tuple[Place, ...], Field(fail_fast=True, max_length=10_000)]


class _OneText(Message):
    text: Text
    """What is translated, or summarized."""
    model: str | None = None
    """Name of the model; the first that makes texts of texts without one."""
    target: Text | None = None
    """An output to force instead of the model's own."""


class LookRequest(_OneText):
    """One text, to be looked at from all sides."""

    beam: Beam | None = None
    """Hypotheses kept at each step."""
    nbest: Beam | None = None
    """Outputs wanted, best first; without it, as many as the beam finds. The beam is at least as wide."""
    temperature: Temperature = 0.0
    """Above 0, outputs are drawn at random with it, `nbest` of them, each by itself. Not with `beam`."""
    seed: JsonSeed | None = None
    """Of what is drawn."""
    prefix: Text | None = None
    """What the output must begin with."""
    hidden: Words = ()
    """Source words that are left out, counted from 0, as if the text did not have them."""
    dropped: Mapping[Name, Heads] = Field(default_factory=dict)
    """Heads of attention that mix nothing: numbers from 1 by the name of their layer."""


class MapMessage(Message):
    """What each output word looked at."""

    rows: list[str]
    """Words of the output, its end the last."""
    columns: list[str]
    """Words of the source, its end the last."""
    weights: Matrix
    """(rows, columns)."""
    title: str
    """Which layer and heads."""


class LayerNameMessage(Message):
    """A layer of attention."""

    layer: str
    """Its name in the model."""
    role: str
    """Who looks at whom: cross, encoder-self or decoder-self."""
    heads: int
    """How many."""


class ConfidenceMessage(Message):
    """How likely the model finds each piece and word, given the source and what is before it."""

    pieces: list[Finite]
    """From 0 to 1; of the end of the sentence the last."""
    words: list[Finite]
    """Likewise: that all pieces of a word are written, one after the other."""


class LookResponse(Message):
    """A text, what became of it, and what belongs to what."""

    model: str
    """Who was asked."""
    source: SideMessage
    target: SideMessage
    score: Finite
    """Of the best output, or of the forced one: log-probability divided by the length penalty."""
    alternatives: list[AlternativeMessage]
    """The best outputs, best first."""
    confidence: ConfidenceMessage | None = None
    """How likely each piece and word is; none for a text of several segments."""
    layers: list[LayerNameMessage]
    """Layers of attention; none where the model has none."""
    map: MapMessage | None = None
    """Attention from output to source: of the last layer, the mean of its heads."""
    alignment: str | None = None
    """Pairs "source-output" of words, counted from 0."""


class HeadsRequest(_OneText):
    """All heads of a layer, on one text."""

    layer: Name | None = None
    """Its name, its number among those that look at the source, or mean; the last of these without it."""
    words: Flag = True
    """Merge pieces to words."""
    end: End = "shown"
    """The column of the end of the sentence: hidden, or left out and the rest renormalised."""


class HeatmapRequest(HeadsRequest):
    """A heat map of one text."""

    head: Name = "mean"
    """A number from 1, mean, max, or all."""
    format: Format = "spec"
    """How it is sent; spec: Vega-Lite for light and dark paper."""


class HeadMessage(Message):
    """One head."""

    head: int
    """Its number, from 1."""
    kind: str
    """What it mostly looks at in this text: diagonal, previous, next, end of sentence, or mixed."""
    entropy: Finite
    """How widely it looks, in bits: 0 at one piece, 1 at two alike."""
    weights: Matrix
    """(rows, columns), in words or pieces as asked."""


class HeadsResponse(Message):
    """All heads of one layer."""

    layer: str
    """Which."""
    heads: list[HeadMessage]
    layers: list[LayerNameMessage]
    """Which layers there are."""


class InfluenceRequest(_OneText):
    """What in the source makes each word of the output likely."""

    measure: Literal["gradient", "occlusion"] = "gradient"
    """gradient: gradient × input; occlusion: what leaving a word out takes away."""
    format: Format = "spec"
    """How it is sent."""


class BeamRequest(Message):
    """A text whose search is to be seen."""

    text: Text
    """What is translated."""
    model: str | None = None
    """Name of the model; the first that makes texts of texts without one."""
    beam: Beam = 3
    """Beginnings kept at each step."""
    prefix: Text | None = None
    """What the output must begin with."""


class NodeMessage(Message):
    """One beginning of an output."""

    id: int
    parent: int | None
    """Of the beginning it continues; none of the root."""
    piece: str
    """What it adds."""
    text: str
    """The output up to here."""
    log_probability: Finite
    """Of the piece, in nats."""
    total: Finite
    """Of all up to here."""
    score: Finite
    """The total, divided by the length penalty."""
    step: int
    """Pieces up to here."""
    kept: bool
    """Whether search went on with it, or found it to be one of the best outputs."""
    ended: bool
    """Whether it is a whole output."""


class BeamResponse(Message):
    """All beginnings that search looked at."""

    nodes: list[NodeMessage]
    """Step after step; the first is the root."""
    nbest: list[AlternativeMessage]
    """The outputs found, best first."""


class ComparisonRequest(Message):
    """Two models on one text."""

    text: Text
    """What is translated."""
    models: Annotated[list[str], Field(min_length=2, max_length=2, fail_fast=True)]
    """Their names."""
    target: Text | None = None
    """The output that both are forced to; that of the first without it."""
    words: Flag = True
    """Merge pieces to words."""
    format: Format = "spec"
    """How it is sent."""


class RowMessage(Message):
    """One layer, position by position."""

    name: str
    ticks: list[int]
    """When each position is there."""
    into: list[list[int]]
    """(positions, outputs): 1 where a position goes into an output."""


class TicksResponse(Message):
    """When each part of a model can be computed."""

    title: str
    """The model, and whether it learns or writes."""
    rows: list[RowMessage]
    """From what is read upwards; the last is the result."""
    last: int
    """The last tick: the span."""
    work: int
    """Operations in all."""
    parallelism: Finite
    """How many processors could be kept busy: work by span, where a sum of n is log n steps."""


class ArchitecturesResponse(Message):
    """Which architectures can be looked at beside the models served."""

    architectures: list[str]


class ScoreMessage(Message):
    """A score and how it was computed."""

    value: str
    signature: str


class RunMessage(Message):
    """A run: what it is, how good it is, and how it learned."""

    name: str
    about: str
    recipe: str
    """TOML, every default written out."""
    scores: dict[str, ScoreMessage]
    step: int
    """Updates so far."""
    entries: int
    """Lines of the log so far."""
    training: bool
    """Whether a process trains it, or compares it with others, and it has not made all its steps."""
    damage: str | None
    """What is wrong with its log or its scores, which are not shown then."""
    curves: dict[str, Any] | None
    """Learning curves, as Vega-Lite for light and dark paper; none before the second entry."""


class RunsResponse(Message):
    """All runs that are served."""

    runs: list[RunMessage]
