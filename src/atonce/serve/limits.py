"""Limits of requests, and what a request costs: tokens, work and memory, estimated before it is begun.

Estimates of memory are of the most that a step holds at once, in bytes, by the sizes of the model; constants
were measured, and rounded up. tests/serve/test_memory.py compares them with what requests take.
"""
# Refused before anything is allocated: a server that runs out of memory fails for all clients, not for one.

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from atonce.config import Config
from atonce.decoding.classifier import Classifier
from atonce.decoding.search import search_bytes
from atonce.decoding.translator import Translator
from atonce.explain.influence import positions_at_once
from atonce.layers.attention import AdditiveAttention, Attention, Role
from atonce.models.image import ImageEmbedding
from atonce.models.seq2seq import Seq2Seq
from atonce.serve.errors import unprocessable

SMALL, LARGE = 2_000, 20_000
"""Tokens times outputs: up to the first, a request is small; beyond the second, it is one of the largest."""
CHARACTERS_PER_TOKEN = 3
"""About: for how much of a batch a text takes up."""
FLOAT = 4
OPEN = 5
"""Tables of its size that a recorded layer of attention has at once: scores, masks, weights."""
NUMBER = 64
"""Bytes of a number in an answer: in the array, in a list, in JSON, and while it is sent."""
CELL = 900
"""Bytes of a cell of a figure: its chart twice, and JSON."""
NODE = 1_500
"""Bytes of a hypothesis in the tree of beam search, without its tokens."""
NODE_TOKEN = 24
"""Bytes of each token of such a hypothesis: by number, and in its text."""
MB = 2**20


class Limits(Config):
    """Limits of a request, beyond which it is refused, and how requests are batched."""

    body: int = Field(default=1_000_000, ge=1_000, le=10**9)
    """Bytes of a request's body."""
    bodies: int = Field(default=32_000_000, ge=1_000, le=10**11)
    """Bytes of all bodies that are held at once; small ones and the first are accepted in any case."""
    texts: int = Field(default=256, ge=1, le=10**6)
    """Texts, or images, in a request."""
    pixels: int = Field(default=16_000_000, ge=1, le=10**10)
    """Of all images in a request."""
    characters: int = Field(default=20_000, ge=1, le=10**8)
    """Characters of a text."""
    tokens: int = Field(default=16_384, ge=1, le=10**8)
    """Tokens of a text."""
    inspected: int = Field(default=512, ge=1, le=10**6)
    """Tokens of a text that is inspected, and of an output that is forced: what is computed grows with the
    product of both."""
    work: int = Field(default=500_000, ge=1, le=10**12)
    """Tokens of all texts of a request, times the outputs that are searched for each of them."""
    memory: int = Field(default=128, ge=1, le=10**7)
    """MB that a request may need for itself, by an estimate that is made before it is begun."""
    seconds: float = Field(default=30.0, gt=0, le=86_400)
    """Time limit of a request, and of its arrival."""
    queue: int = Field(default=2_000, ge=1, le=10**6)
    """Maximum queued texts of all requests together, for each priority: small requests, larger, largest."""
    batch_tokens: int = Field(default=4_096, ge=1, le=10**8)
    """Approximate source tokens per batch."""
    wait: float = Field(default=2.0, ge=0, le=60_000)
    """Batching delay in milliseconds, while the models are idle."""

    @property
    def texts_of_a_request(self) -> int:
        """The most texts in a request."""
        # More than the queue holds would be told to come back (429), and never fit.
        return min(self.texts, self.queue)


def priority_of(work: int) -> int:
    """The priority of a request, 0 being the highest: the less work, the higher."""
    return (work > SMALL) + (work > LARGE)


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of a model, as far as memory depends on them, and estimates in bytes that are made of them."""

    model: Seq2Seq

    @cached_property
    def vocab(self) -> int:
        """Rows of the output layer."""
        return len(self.model.decoder.output.weight)

    @cached_property
    def dim(self) -> int:
        """Width of a state."""
        return int(self.model.decoder.output.weight.shape[1])

    @cached_property
    def attention(self) -> list[tuple[Role, int]]:
        """Role and heads of each layer of attention."""
        layers = [one for one in self.model.modules() if isinstance(one, Attention)]
        return [(one.role, one.heads) for one in layers]

    @cached_property
    def is_additive(self) -> bool:
        """Whether attention makes a vector for each pair of tokens (Bahdanau 2015), not only a number."""
        return any(isinstance(one, AdditiveAttention) for one in self.model.modules())

    @cached_property
    def layers(self) -> int:
        """Layers of the deeper of encoder and decoder."""
        return max(_layers(self.model.encoder), _layers(self.model.decoder))

    @cached_property
    def heads(self) -> int:
        """Heads of the layer that has most."""
        return max((heads for _, heads in self.attention), default=0)

    @property
    def position_bytes(self) -> int:
        """What search keeps of a position of an output; twice, as it is copied."""
        # Keys and values of each layer, as in a Transformer; recurrent decoders keep less.
        return 2 * self.layers * 2 * self.dim * FLOAT

    def search(self, outputs: int, longest: int) -> int:
        """Search of one text for `outputs` hypotheses side by side, each of at most `longest` tokens."""
        device = self.model.decoder.output.weight.device
        step = sum(search_bytes(self.vocab, self.dim, width=outputs, device=device).values())
        return outputs * longest * self.position_bytes + step

    def weights(self, source: int, target: int) -> int:
        """How many weights of attention there are of a text and its output."""
        return sum(heads * _pairs(role, source, target) for role, heads in self.attention)

    def record(self, source: int, target: int) -> int:
        """Recording attention: all weights, what one layer makes on the way, scores of the output."""
        largest = max((heads * _pairs(role, source, target) for role, heads in self.attention), default=0)
        return FLOAT * (
            self.weights(source, target)
            + OPEN * largest
            + 2 * target * self.vocab
            + self._vectors(1, source, target)
        )

    def gradient(self, source: int, target: int) -> int:
        """A slice of gradients: one output for each word, as many as are computed together."""
        # Autograd keeps 28 vectors of each position and layer (measured), and three tables of scores.
        rows = max(1, min(target, positions_at_once(self.model) // max(1, target)))
        kept = rows * (source + target) * self.layers * 28 * self.dim + 3 * rows * target * self.vocab
        return FLOAT * (kept + 2 * self._vectors(rows, source, target))

    def occlusion(self, source: int, target: int) -> int:
        """A slice of occlusion: one output for each source word, as many as are computed together."""
        # Nothing is kept for a backward pass: the vectors of one layer, whatever the number of layers.
        rows = max(1, min(source, positions_at_once(self.model) // max(1, source, target)))
        kept = rows * (source + target) * 12 * self.dim + 4 * rows * target * self.vocab
        return FLOAT * (kept + self._vectors(rows, source, target))

    def tree(self, beam: int, longest: int) -> int:
        """The tree of beam search, with the search."""
        nodes = 2 * beam * longest  # a step compares the twice `beam` best continuations
        return nodes * (NODE + NODE_TOKEN * longest // 2) + self.search(beam, longest)

    def _vectors(self, rows: int, source: int, target: int) -> int:
        # Numbers, not bytes: what additive attention adds up, and its tanh.
        return 2 * rows * source * target * self.dim if self.is_additive else 0


def _layers(half: object) -> int:
    """Layers of an encoder or a decoder; a recurrent decoder has them in a stack."""
    return len(list(getattr(getattr(half, "stack", half), "layers", ()))) or 1


def _pairs(role: Role, source: int, target: int) -> int:
    queries, keys = {
        "encoder-self": (source, source),
        "decoder-self": (target, target),
        "cross": (target, source),
    }[role]
    return queries * keys


def fit_batch_sizes(system: Translator | Classifier, limits: Limits) -> None:
    """Make batches smaller where one of the usual size could take more than `limits.memory`.

    A compiled model searches a batch on each thread; together they stay within it. Outputs do not change.
    """
    if isinstance(system, Classifier):
        most = max(1, limits.memory * MB // _position_bytes(system))
        system.positions_at_once = min(system.positions_at_once, most)
        return
    engine = system.model.engine
    side_by_side = torch.get_num_threads() if engine is not None and engine.side_by_side else 1
    most = max(1, limits.memory * MB // (3 * ModelSizes(system.model).position_bytes * side_by_side))
    if most < system.config.batch_tokens:
        system.config = system.config.model_copy(update={"batch_tokens": most})


def _position_bytes(classifier: Classifier) -> int:
    """Bytes of a token, or of a row of pixels, while it is encoded."""
    of_vector = 12 * ModelSizes(classifier.model).dim
    source = classifier.model.source
    if not isinstance(source, ImageEmbedding):
        return FLOAT * of_vector
    height, width = source.shape
    channels = max((one.out_channels for one in source.modules() if isinstance(one, nn.Conv2d)), default=1)
    of_image = of_vector * math.prod(source.grid) + 3 * channels * height * width
    return -(-FLOAT * of_image // height)  # rounded up: a classifier counts an image by its rows


def count_tokens(translator: Translator, text: str) -> int:
    """How many tokens a text has, its end included."""
    # Counted, not guessed from characters: a rare character is four tokens, one for each of its bytes.
    return len(translator.tokenizer.encode(text)) + 1


def check_characters(texts: Sequence[str], limits: Limits) -> None:
    """Raise HTTPError if a text has too many characters: checked before it is tokenized, which takes time."""
    for number, text in enumerate(texts, start=1):
        if len(text) > limits.characters:
            raise unprocessable(
                f"text {number} has {len(text):,} characters",
                why=f"a text may have {limits.characters:,}",
                fix="cut it into several texts",
            )


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Raise HTTPError if there are too many, or one is too long."""
    if len(texts) > limits.texts_of_a_request:
        raise unprocessable(
            f"there are {len(texts):,} texts",
            why=f"a request may have {limits.texts_of_a_request:,}",
            fix="send them in several requests",
        )
    check_characters(texts, limits)


def check_tokens(name: str, tokens: int, limits: Limits, *, inspected: bool = False) -> None:
    """Raise HTTPError if a text has too many. `name`: what it is called."""
    most, option = (limits.inspected, "--max-inspected") if inspected else (limits.tokens, "--max-tokens")
    if tokens > most:
        what = "a text that is inspected, or an output that is forced," if inspected else "a text"
        raise unprocessable(
            f"{name} has {tokens:,} tokens",
            why=f"{what} may have {most:,} here, its end included ({option})",
            fix="give a shorter one",
        )


def check_work(tokens: int, outputs: int, limits: Limits) -> None:
    """Raise HTTPError if the tokens of all texts, times the outputs searched for each, are too many."""
    if tokens * outputs > limits.work:
        raise unprocessable(
            f"the request asks for too much: {tokens:,} tokens times {outputs} outputs of each text",
            why=f"their product may be {limits.work:,} here (--max-work)",
            fix="send fewer or shorter texts, or ask for a smaller beam or nbest",
        )


def check_memory(what: str, needed: int, limits: Limits) -> None:
    """Raise HTTPError if a request needs more bytes than it may. `what`: what needs them."""
    if needed > limits.memory * MB:
        raise unprocessable(
            f"{what} would take about {needed / MB:,.0f} MB",
            why=f"a request may take {limits.memory:,} MB here (--max-memory)",
            fix="give a shorter text or output, or ask for fewer outputs, heads or kinds of weights",
        )


def check_search(
    translator: Translator,
    texts: Sequence[str],
    outputs: int,
    limits: Limits,
    *,
    alignment: bool = False,
    attention: bool = False,
) -> int:
    """Check the texts of a translation request; returns tokens times outputs.

    `outputs`: hypotheses for each, side by side. `alignment`, `attention`: whether attention is recorded, and
    whether all of it is sent. Raises HTTPError.
    """
    inspected = alignment or attention
    sizes = ModelSizes(translator.model)
    total = longest = numbers = 0
    for number, text in enumerate(texts, start=1):
        tokens = count_tokens(translator, text)
        check_tokens(f"text {number}", tokens, limits, inspected=inspected)
        if attention:
            numbers += sizes.weights(tokens, min(translator.longest_output(tokens), limits.inspected))
        total, longest = total + tokens, max(longest, tokens)
    check_work(total, outputs, limits)
    check_memory("attention", NUMBER * numbers, limits)
    # A longer text is searched in segments, one after another: memory does not grow with it. The longest text
    # alone counts: `fit_batch_sizes` bounds how many are searched together.
    at_once = min(longest, translator.longest_source)
    check_memory("search", sizes.search(outputs, translator.longest_output(at_once)), limits)
    return total * outputs


@dataclass(frozen=True)
class Inspection:
    """One text that is inspected, and how: what its cost depends on."""

    kind: Literal["look", "heads", "heatmap", "comparison", "gradient", "occlusion", "beam"]
    text: str
    target: str | None = None
    prefix: str | None = None
    outputs: int = 1
    """Hypotheses side by side in search."""
    heads: int = 1
    """Heads that are drawn."""

    def estimated_work(self, translator: Translator, limits: Limits) -> int:
        """About how much work it is, in tokens times outputs. Raises HTTPError if it is too much."""
        source = self.source_tokens(translator)
        goes_in_segments = self.kind == "look" and translator.in_segments(self.text)
        check_tokens("the text", source, limits, inspected=not goes_in_segments)
        forced = {"the target": self.target, "the prefix": self.prefix}
        lengths = {name: count_tokens(translator, text) for name, text in forced.items() if text is not None}
        for name, length in lengths.items():
            check_tokens(name, length, limits, inspected=True)
        check_work(source, self.outputs, limits)
        at_once = min(source, translator.longest_source)
        longest = max(translator.longest_output(at_once), lengths.get("the prefix", 0) + 1)
        sizes = ModelSizes(translator.model)
        check_memory("search", sizes.search(self.outputs, longest), limits)
        if self.kind == "beam":
            check_memory("the tree", sizes.tree(self.outputs, longest), limits)
        target = lengths.get("the target", 0)
        # Without a target it is checked once the output is there. Of segments nothing is inspected.
        if target and not goes_in_segments:
            self.check_output(translator, target, limits)
        searched = (source + lengths.get("the prefix", 0)) * self.outputs
        written = target or source  # about as much, where it is not known
        steps = {
            "beam": 4 * searched,
            "gradient": 3 * written * (source + written),  # there and back, for each word of the output
            "occlusion": source * (source + written),
        }
        return searched + target + steps.get(self.kind, 3 * source)

    def check_output(self, translator: Translator, target: int, limits: Limits) -> None:
        """Raise HTTPError if it takes too much memory with an output of `target` tokens."""
        check_tokens("the output", target, limits, inspected=True)
        sizes, source = ModelSizes(translator.model), self.source_tokens(translator)
        crossing, pairs = source * target, max(source, target) ** 2  # self-attention may be chosen
        match self.kind:
            case "gradient":
                needed = sizes.gradient(source, target) + CELL * crossing
            case "occlusion":
                needed = sizes.occlusion(source, target) + CELL * crossing
            case "heads":
                needed = sizes.record(source, target) + NUMBER * sizes.heads * pairs
            case "look":
                needed = sizes.record(source, target) + NUMBER * crossing
            case "comparison":
                needed = sizes.record(source, target) + CELL * self.heads * crossing
            case "beam":
                return
            case _:
                needed = sizes.record(source, target) + CELL * self.heads * pairs
        check_memory("the inspection", needed, limits)

    def source_tokens(self, translator: Translator) -> int:
        """Source tokens that are encoded together."""
        tokens = count_tokens(translator, self.text)
        # A translator that takes texts whole cuts off what is longer than it has learned to read.
        return min(tokens, translator.longest_source + 1) if translator.whole else tokens
