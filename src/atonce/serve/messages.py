"""What requests and answers look like. Everything here is in the OpenAPI description."""

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

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FaultMessage, "description": description}
    for status, description in (
        (400, "The request is not understood."),
        (401, "The token is missing or wrong."),
        (404, "There is no such model."),
        (408, "The request did not arrive in time."),
        (413, "The request is too large."),
        (415, "The body is compressed."),
        (422, "The request asks for what cannot be."),
        (429, "Too much is waiting: ask again after as many seconds as Retry-After says."),
        (503, "The process that draws figures died."),
        (504, "The answer was not ready in time."),
    )
}


def _no_text(number: object) -> object:
    """A number, or what pydantic refuses: a text of digits, or true, which it would take for one."""
    if isinstance(number, bool | str):
        raise ValueError("it is no number -> give a number, without quotation marks")
    return number


Number = BeforeValidator(_no_text)
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
"""A number that counts words, layers or heads."""
Name = Annotated[Text, Field(max_length=200)]
Heads = Annotated[tuple[Annotated[Place, Field(ge=1)], ...], Field(fail_fast=True, max_length=1_000)]
Words = Annotated[tuple[Place, ...], Field(fail_fast=True, max_length=10_000)]
Phase = Literal["training", "generation"]
Format = Literal["spec", "json", "csv", "svg", "png", "pdf", "html"]
"""How a figure is sent."""

# Results, as they are sent: what they have is said where they are defined.
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


class TextRequest(Message):
    """Texts to be translated, or summarized."""

    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)]
    """Each is translated, or summarized, by itself."""
    model: str | None = None
    """Name of the model, as `/v1/models` has it; the first that can do it without one."""
    beam: Beam | None = None
    """Hypotheses kept at each step; 1 is greedy. What the model's recipe says without it."""
    nbest: Beam = 1
    """Outputs wanted for each text, best first."""
    temperature: Temperature = 0.0
    """Above 0, `nbest` outputs are drawn at random with it, each by itself, so that likely ones may come
    twice. Not with `beam`."""
    seed: JsonSeed | None = None
    """Of what is drawn: equal requests have equal answers then. A whole number from 0 to 2^64 - 1, or a text
    of its digits."""
    alignment: Flag = False
    """Say which source word each output word looked at most."""
    attention: Flag = False
    """Give all attention weights, token by token."""
    stream: Flag = False
    """Answer with server-sent events, one for each new token of a greedy search. One text only."""


class ClassifyRequest(Message):
    """Texts, or images, to be labelled: one of the two, as the model reads."""

    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)] | None = None
    """Texts to be labelled."""
    images: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """Picture files (PNG, JPEG, WebP, GIF; of one that moves the first frame) in base64."""
    model: str | None = None
    """Name of the model, as `/v1/models` has it; the first that can do it without one."""


class LayerMessage(Message):
    """The weights of one attention layer."""

    layer: str
    """Its name in the model."""
    role: str
    """Who looks at whom: cross, encoder-self or decoder-self."""
    weights: Matrices
    """(heads, queries, keys), in tokens."""


class AttentionMessage(Message):
    """All attention of one translation."""

    source: SideMessage
    target: SideMessage
    layers: list[LayerMessage]


class OutputMessage(Message):
    """What a text became."""

    text: str
    """The best output."""
    score: Finite
    """Log-probability in nats, divided by the length penalty: higher is better."""
    alternatives: list[AlternativeMessage] | None = None
    """The n best, best first, where more than one was asked for."""
    alignment: str | None = None
    """Pairs "source-output" of words, counted from 0."""
    attention: AttentionMessage | None = None
    """What the model looked at."""


class TranslateResponse(Message):
    """A translation of each text, in order."""

    model: str
    """Who translated."""
    translations: list[OutputMessage]


class SummarizeResponse(Message):
    """A summary of each text, in order."""

    model: str
    """Who summarized."""
    summaries: list[OutputMessage]


class ClassifyResponse(Message):
    """A label for each source, in order."""

    model: str
    """Who labelled."""
    labels: list[LabelMessage]


class ModelMessage(Message):
    """A model that is served."""

    name: str
    """What requests call it."""
    task: Task
    """What it was trained for."""
    about: str
    """What its recipe says of itself."""
    source: str | None
    """Tag of the language it reads, where it is known."""
    target: str | None
    """Tag of the language it writes, where it is known."""
    architecture: str
    """Encoder and decoder."""
    weights: int
    """How many numbers were learned."""
    attention: bool
    """Whether there is attention to look at."""
    examples: list[str]
    """Some texts that it was not trained on, to try."""


class ModelsResponse(Message):
    """All models that are served, in the order of the command line."""

    models: list[ModelMessage]


class HealthResponse(Message):
    """That the server is there, and how much waits."""

    status: str
    waiting: int
    """Texts that wait to be searched."""


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


class LayerNameMessage(Message):
    """A layer of attention."""

    layer: str
    """Its name in the model."""
    role: str
    """Who looks at whom: cross, encoder-self or decoder-self."""
    heads: int
    """How many."""


class ConfidenceMessage(Message):
    """How likely the model finds each token and word, given the source and what is before it."""

    tokens: list[Finite]
    """From 0 to 1; of the end of the sentence the last."""
    words: list[Finite]
    """Likewise: that all tokens of a word are written, one after the other."""


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
    """How likely each token and word is; none for a text of several segments."""
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
    """Merge tokens to words."""
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
    """How widely it looks, in bits: 0 at one token, 1 at two alike."""
    weights: Matrix
    """(rows, columns), in words or tokens as asked."""


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
    """Merge tokens to words."""
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
