"""Requests and answers: the OpenAPI description is made of these classes and their docstrings."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from atonce.data.config import Task
from atonce.decoding.classifier import Classification
from atonce.decoding.translation import Alternative
from atonce.explain.beam_tree import BeamNode
from atonce.explain.text_heatmap import End
from atonce.explain.words import AttentionMap, Side
from atonce.seeds import JsonSeed
from atonce.serve.errors import FaultMessage
from atonce.serve.json_format import Finite, Matrices, Matrix, Message, SentAs
from atonce.studies.measurement.schedule import Row

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultMessage, "description": description}
    for status, description in (
        (400, "The request is not understood."),
        (401, "The token is missing or wrong."),
        (404, "There is no such model."),
        (408, "The request did not arrive in time."),
        (413, "The request is too large."),
        (415, "The body is compressed."),
        (422, "The request cannot be done: its values are invalid, or beyond a limit."),
        (429, "The queue is full: try again after as many seconds as Retry-After says."),
        (503, "The process that draws figures died."),
        (504, "The answer was not ready in time."),
    )
}


def _no_text(number: object) -> object:
    """The number. Raises ValueError for a text of digits, or for true, which pydantic would convert."""
    # Not pydantic's strict mode, which refuses 1.0 for a whole number, too: JSON has one kind of numbers.
    if isinstance(number, bool | str):
        raise ValueError("it is not a number -> give a number, without quotation marks")
    return number


Number = BeforeValidator(_no_text)
# 32: search keeps so many hypotheses of each text side by side; `limits` counts what that takes.
Beam = Annotated[int, Field(ge=1, le=32), Number]
Temperature = Annotated[float, Field(ge=0, le=100), Number]
Flag = Annotated[bool, Strict()]


def _of_characters(text: str) -> str:
    """The text. An unpaired surrogate is no character: JSON can spell it, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"unpaired surrogate {text[error.start]!r}") from None
    return text


Text = Annotated[str, AfterValidator(_of_characters)]
Place = Annotated[int, Field(ge=0, le=1_000_000), Number]
"""A number of a word or a head."""
Name = Annotated[Text, Field(max_length=200)]
# Bounded, as a body has room for hundreds of thousands of numbers; `fail_fast`, as each could be an error.
Heads = Annotated[tuple[Annotated[Place, Field(ge=1)], ...], Field(fail_fast=True, max_length=1_000)]
Words = Annotated[tuple[Place, ...], Field(fail_fast=True, max_length=10_000)]
Phase = Literal["training", "generation"]
Format = Literal["spec", "json", "csv", "svg", "png", "pdf", "html"]
"""How a figure is sent."""

# Results, as they are sent: their fields are described where they are defined.
AlternativeMessage = Annotated[Alternative, SentAs("AlternativeMessage")]
SideMessage = Annotated[Side, SentAs("SideMessage")]
LabelMessage = Annotated[Classification, SentAs("LabelMessage")]
MapMessage = Annotated[AttentionMap, SentAs("MapMessage", "rows", "columns", "weights", "title")]
NodeMessage = Annotated[
    BeamNode,
    SentAs(
        "NodeMessage",
        "id", "parent", "token", "text", "log_probability", "total", "score", "step", "kept", "ended",
    ),
]  # fmt: skip
RowMessage = Annotated[Row, SentAs("RowMessage")]


class TextRequest(Message):
    """Texts to translate, or to summarize."""

    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)]
    """Each is translated, or summarized, by itself."""
    model: str | None = None
    """Name of the model, as in `/v1/models`; by default the first for this task."""
    beam: Beam | None = None
    """Beam size; 1 is greedy. By default that of the model's recipe."""
    nbest: Beam = 1
    """Outputs for each text, best first."""
    temperature: Temperature = 0.0
    """Sampling temperature. Above 0, `nbest` outputs are drawn independently, so that likely ones may repeat.
    Not with `beam`."""
    seed: JsonSeed | None = None
    """Of the random numbers: with it, equal requests have equal answers. A whole number from 0 to 2^64 - 1,
    or its digits as a text."""
    alignment: Flag = False
    """Return the source word that each output word attends to most."""
    attention: Flag = False
    """Return all attention weights, token by token."""
    stream: Flag = False
    """Answer with server-sent events, one for each new token of a greedy search. One text only."""


class ClassifyRequest(Message):
    """Texts, or images, to classify: one of the two, depending on the model."""

    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)] | None = None
    """Texts to classify."""
    images: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """Picture files (PNG, JPEG, WebP, GIF; of an animation the first frame) in base64."""
    model: str | None = None
    """Name of the model, as in `/v1/models`; by default the first for this task."""


class LayerMessage(Message):
    """The weights of one attention layer."""

    layer: str
    """Its name in the model."""
    role: str
    """cross, encoder-self or decoder-self."""
    weights: Matrices
    """(heads, queries, keys), in tokens."""


class AttentionMessage(Message):
    """All attention of one translation."""

    source: SideMessage
    target: SideMessage
    layers: list[LayerMessage]


class OutputMessage(Message):
    """The output for one text."""

    text: str
    """The best output."""
    score: Finite
    """Log-probability in nats, divided by the length penalty: higher is better."""
    alternatives: list[AlternativeMessage] | None = None
    """The n best, best first, if `nbest` is more than 1."""
    alignment: str | None = None
    """Pairs "source-output" of words, counted from 0."""
    attention: AttentionMessage | None = None
    """All attention weights."""


class TranslateResponse(Message):
    """A translation of each text, in order."""

    model: str
    """Name of the model."""
    translations: list[OutputMessage]


class SummarizeResponse(Message):
    """A summary of each text, in order."""

    model: str
    """Name of the model."""
    summaries: list[OutputMessage]


class ClassifyResponse(Message):
    """A label for each source, in order."""

    model: str
    """Name of the model."""
    labels: list[LabelMessage]


class ModelMessage(Message):
    """A model that is served."""

    name: str
    """Its name in requests."""
    task: Task
    """What it was trained for."""
    about: str
    """The description in its recipe."""
    source: str | None
    """Tag of the source language, if known."""
    target: str | None
    """Tag of the target language, if known."""
    architecture: str
    """Encoder and decoder."""
    weights: int
    """Parameter count."""
    attention: bool
    """Whether it has attention to show."""
    examples: list[str]
    """Some texts to try, on which it was not trained."""


class ModelsResponse(Message):
    """All models that are served, in the order of the command line."""

    models: list[ModelMessage]


class HealthResponse(Message):
    """That the server answers, and how many texts are queued."""

    status: str
    waiting: int
    """Queued texts."""


class _OneText(Message):
    text: Text
    """The source."""
    model: str | None = None
    """Name of the model; by default the first that translates or summarizes."""
    target: Text | None = None
    """An output to force instead of the model's own."""


class LookRequest(_OneText):
    """One text to inspect."""

    beam: Beam | None = None
    """Beam size."""
    nbest: Beam | None = None
    """Outputs, best first; by default as many as the beam finds. The beam is at least as wide."""
    temperature: Temperature = 0.0
    """Sampling temperature. Above 0, `nbest` outputs are drawn independently. Not with `beam`."""
    seed: JsonSeed | None = None
    """Of the random numbers."""
    prefix: Text | None = None
    """A forced beginning of the output."""
    hidden: Words = ()
    """Source words that are left out, counted from 0, as if the text did not have them."""
    dropped: Mapping[Name, Heads] = Field(default_factory=dict)
    """Attention heads whose output is zero: numbers from 1 by the name of their layer."""


class LayerNameMessage(Message):
    """A layer of attention."""

    layer: str
    """Its name in the model."""
    role: str
    """cross, encoder-self or decoder-self."""
    heads: int
    """Number of heads."""


class ConfidenceMessage(Message):
    """Probability of each token and word, given the source and what is before it."""

    tokens: list[Finite]
    """From 0 to 1; the last is that of the end of the sentence."""
    words: list[Finite]
    """Likewise: that all tokens of a word are written, one after the other."""


class LookResponse(Message):
    """A text, its output, and which words belong together."""

    model: str
    """Name of the model."""
    source: SideMessage
    target: SideMessage
    score: Finite
    """Of the best output, or of the forced one: log-probability divided by the length penalty."""
    alternatives: list[AlternativeMessage]
    """The best outputs, best first."""
    confidence: ConfidenceMessage | None = None
    """Probability of each token and word; none for a text of several segments."""
    layers: list[LayerNameMessage]
    """Layers of attention; none where the model has none."""
    map: MapMessage | None = None
    """Attention from output to source: of the last layer, the mean of its heads."""
    alignment: str | None = None
    """Pairs "source-output" of words, counted from 0."""


class HeadsRequest(_OneText):
    """All heads of a layer, on one text."""

    layer: Name | None = None
    """Its name, its number among the cross-attention layers, or mean; by default the last of these."""
    words: Flag = True
    """Merge tokens to words."""
    end: End = "shown"
    """The column of the end of the sentence: hidden, or left out and the rest renormalised."""


class HeatmapRequest(HeadsRequest):
    """A heat map of one text."""

    head: Name = "mean"
    """A number from 1, mean, max, or all."""
    format: Format = "spec"
    """Its format; spec: Vega-Lite in light and dark colours."""


class HeadMessage(Message):
    """One head."""

    head: int
    """Its number, from 1."""
    kind: str
    """What it mostly attends to in this text: diagonal, previous, next, end of sentence, or mixed."""
    entropy: Finite
    """Entropy of its weights in bits: 0 for one token, 1 for two alike."""
    weights: Matrix
    """(rows, columns), in words or tokens."""


class HeadsResponse(Message):
    """All heads of one layer."""

    layer: str
    """Its name."""
    heads: list[HeadMessage]
    layers: list[LayerNameMessage]
    """All layers of attention."""


class InfluenceRequest(_OneText):
    """What in the source makes each word of the output likely."""

    measure: Literal["gradient", "occlusion"] = "gradient"
    """gradient: gradient × input; occlusion: the fall of the log-probability without a word."""
    format: Format = "spec"
    """Its format."""


class BeamRequest(Message):
    """A text whose beam search is shown."""

    text: Text
    """The source."""
    model: str | None = None
    """Name of the model; by default the first that translates or summarizes."""
    beam: Beam = 3
    """Beam size."""
    prefix: Text | None = None
    """A forced beginning of the output."""


class BeamResponse(Message):
    """All hypotheses of beam search."""

    nodes: list[NodeMessage]
    """Step after step; the first is the root."""
    nbest: list[AlternativeMessage]
    """The outputs found, best first."""


class ComparisonRequest(Message):
    """Two models on one text."""

    text: Text
    """The source."""
    models: Annotated[list[str], Field(min_length=2, max_length=2, fail_fast=True)]
    """Their names."""
    target: Text | None = None
    """The output that both are forced to; by default that of the first."""
    words: Flag = True
    """Merge tokens to words."""
    format: Format = "spec"
    """Its format."""


class TicksResponse(Message):
    """When each part of a model can be computed."""

    title: str
    """The model, and whether it is training or generating."""
    rows: list[RowMessage]
    """From the input upwards; the last is the result."""
    last: int
    """The last tick: the span."""
    work: int
    """Number of operations."""
    parallelism: Finite
    """How many processors could be kept busy: work by span, where a sum of n is log n steps."""


class ArchitecturesResponse(Message):
    """The architectures that `/v1/ticks` knows beside the models that are served."""

    architectures: list[str]


class ScoreMessage(Message):
    """A score and how it was computed."""

    value: str
    signature: str


class RunMessage(Message):
    """A run: its recipe, its scores, and its learning curves."""

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
    """Learning curves, as Vega-Lite in light and dark colours; none before the second entry."""


class RunsResponse(Message):
    """All runs, also those that have no model yet."""

    runs: list[RunMessage]
