"""What a request takes, known before it is begun: pieces, work, and memory by the sizes of the model.

Estimates are of the most that a step holds at once, in bytes; constants were measured, and rounded up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Literal

import torch
from torch import nn

from atonce.decoding.classifier import Classifier
from atonce.decoding.search import search_bytes
from atonce.decoding.translator import Translator
from atonce.explain.texts.influence import positions_at_once
from atonce.layers.attention import AdditiveAttention, Attention, Role
from atonce.models.image import ImageEmbedding
from atonce.models.seq2seq import Seq2Seq
from atonce.serve.faults import Fault
from atonce.serve.limits import Limits

SMALL, LARGE = 2_000, 20_000
"""Pieces times outputs: up to the first, a request is small; beyond the second, it waits for all others."""
CHARACTERS_PER_PIECE = 3
"""About: for how much of a batch a text takes up."""
FLOAT = 4
OPEN = 5
"""Tables of its size that a layer of attention has at once which is watched: scores, masks, weights."""
NUMBER = 64
"""Of a number in an answer: in the array, in a list, in JSON, and on its way."""
CELL = 900
"""Of a cell of a figure: what is drawn of it twice, and JSON."""
NODE = 1_500
"""Of a beginning in the tree of beam search, without its pieces."""
NODE_PIECE = 24
"""Of each piece of such a beginning: by number, and in its text."""
MB = 2**20


def urgency(work: int) -> int:
    """How urgent a request is, from 0: the less it takes, the sooner."""
    return (work > SMALL) + (work > LARGE)


@dataclass(frozen=True)
class Sizes:
    """Of a model, as far as memory depends on them."""

    model: Seq2Seq

    @cached_property
    def vocab(self) -> int:
        """Rows of the output's table."""
        return len(self.model.decoder.output.weight)

    @cached_property
    def dim(self) -> int:
        """Numbers of a state."""
        return int(self.model.decoder.output.weight.shape[1])

    @cached_property
    def attention(self) -> list[tuple[Role, int]]:
        """Role and heads of each layer of attention."""
        layers = [one for one in self.model.modules() if isinstance(one, Attention)]
        return [(one.role, one.heads) for one in layers]

    @cached_property
    def is_additive(self) -> bool:
        """Whether attention makes a vector for each pair of pieces."""
        return any(isinstance(one, AdditiveAttention) for one in self.model.modules())

    @cached_property
    def layers(self) -> int:
        """Of the larger half."""
        return max(_layers(self.model.encoder), _layers(self.model.decoder))

    @cached_property
    def heads(self) -> int:
        """Of the layer that has most."""
        return max((heads for _, heads in self.attention), default=0)

    @property
    def of_position(self) -> int:
        """What search keeps of a position of an output; twice, as it is copied."""
        return 2 * self.layers * 2 * self.dim * FLOAT

    def search(self, outputs: int, longest: int) -> int:
        """Of one text: so many outputs side by side, each at most so long."""
        device = self.model.decoder.output.weight.device
        step = sum(search_bytes(self.vocab, self.dim, width=outputs, device=device).values())
        return outputs * longest * self.of_position + step

    def weights(self, source: int, target: int) -> int:
        """How many weights of attention there are of a text and its output."""
        return sum(heads * _pairs(role, source, target) for role, heads in self.attention)

    def record(self, source: int, target: int) -> int:
        """To watch a model: all weights, what a layer makes on the way, scores of the output's pieces."""
        largest = max((heads * _pairs(role, source, target) for role, heads in self.attention), default=0)
        return FLOAT * (
            self.weights(source, target)
            + OPEN * largest
            + 2 * target * self.vocab
            + self._vectors(1, source, target)
        )

    def gradient(self, source: int, target: int) -> int:
        """Of a slice: outputs, one for each word, as far as they go together."""
        rows = max(1, min(target, positions_at_once(self.model) // max(1, target)))
        kept = rows * (source + target) * self.layers * 28 * self.dim + 3 * rows * target * self.vocab
        return FLOAT * (kept + 2 * self._vectors(rows, source, target))

    def occlusion(self, source: int, target: int) -> int:
        """Of a slice, likewise: outputs, one for each source word."""
        rows = max(1, min(source, positions_at_once(self.model) // max(1, source, target)))
        kept = rows * (source + target) * 12 * self.dim + 4 * rows * target * self.vocab
        return FLOAT * (kept + self._vectors(rows, source, target))

    def tree(self, beam: int, longest: int) -> int:
        """Of beam search, all that it looked at."""
        nodes = 2 * beam * longest
        return nodes * (NODE + NODE_PIECE * longest // 2) + self.search(beam, longest)

    def _vectors(self, rows: int, source: int, target: int) -> int:
        return 2 * rows * source * target * self.dim if self.is_additive else 0


def _layers(half: object) -> int:
    """Of an encoder or a decoder; a recurrent decoder has them in a stack."""
    return len(list(getattr(getattr(half, "stack", half), "layers", ()))) or 1


def _pairs(role: Role, source: int, target: int) -> int:
    queries, keys = {
        "encoder-self": (source, source),
        "decoder-self": (target, target),
        "cross": (target, source),
    }[role]
    return queries * keys


def fit(system: Translator | Classifier, limits: Limits) -> None:
    """Search or label fewer texts at once where a batch of the usual size could take more than a request may.

    What is compiled searches a batch on each thread, all of which may take as much together.
    It changes no output.
    """
    if isinstance(system, Classifier):
        most = max(1, limits.memory * MB // _bytes_of_position(system))
        system.positions_at_once = min(system.positions_at_once, most)
        return
    side_by_side = 1 if system.model.engine is None else torch.get_num_threads()
    most = max(1, limits.memory * MB // (3 * Sizes(system.model).of_position * side_by_side))
    if most < system.config.batch_tokens:
        system.config = system.config.model_copy(update={"batch_tokens": most})


def _bytes_of_position(classifier: Classifier) -> int:
    """Of a piece, or of a row of pixels, while it is read."""
    of_vector = 12 * Sizes(classifier.model).dim
    source = classifier.model.source
    if not isinstance(source, ImageEmbedding):
        return FLOAT * of_vector
    height, width = source.shape
    channels = max((one.out_channels for one in source.modules() if isinstance(one, nn.Conv2d)), default=1)
    of_image = of_vector * math.prod(source.grid) + 3 * channels * height * width
    return -(-FLOAT * of_image // height)


def pieces_of(translator: Translator, text: str) -> int:
    """How many pieces a text has, its end included."""
    return len(translator.tokenizer.encode(text)) + 1


def check_pieces(name: str, pieces: int, limits: Limits, *, looked_at: bool = False) -> None:
    """Raise Fault if a text has too many. `name`: what it is called."""
    most, option = (limits.looked, "--max-looked") if looked_at else (limits.pieces, "--max-pieces")
    if pieces > most:
        what = "a text that is looked at, or an output that is forced," if looked_at else "a text"
        raise _too_much(
            f"{name} has {pieces:,} pieces",
            f"{what} may have {most:,} here, its end included ({option})",
            "give a shorter one",
        )


def check_work(pieces: int, outputs: int, limits: Limits) -> None:
    """Raise Fault if the pieces of all texts, times the outputs searched for each, are too many."""
    if pieces * outputs > limits.work:
        raise _too_much(
            f"the request asks for too much: {pieces:,} pieces times {outputs} outputs of each text",
            f"their product may be {limits.work:,} here (--max-work)",
            "send fewer or shorter texts, or ask for a smaller beam or nbest",
        )


def check_memory(what: str, needed: int, limits: Limits) -> None:
    """Raise Fault if a request needs too much. `what` it is that does."""
    if needed > limits.memory * MB:
        raise _too_much(
            f"{what} would take about {needed / MB:,.0f} MB",
            f"a request may take {limits.memory:,} MB here (--max-memory)",
            "give a shorter text or output, or ask for fewer outputs, heads or kinds of weights",
        )


def check_texts_work(
    translator: Translator,
    texts: Sequence[str],
    outputs: int,
    limits: Limits,
    *,
    alignment: bool = False,
    attention: bool = False,
) -> int:
    """Check the texts of a request that are to become others; gives pieces times outputs.

    `outputs`: searched for each, side by side. `alignment`, `attention`: whether they are looked at, too, and
    whether all of that is sent. Raises Fault.
    """
    looked_at = alignment or attention
    sizes = Sizes(translator.model)
    total = longest = numbers = 0
    for number, text in enumerate(texts, start=1):
        pieces = pieces_of(translator, text)
        check_pieces(f"text {number}", pieces, limits, looked_at=looked_at)
        if attention:
            numbers += sizes.weights(pieces, min(translator.longest_output(pieces), limits.looked))
        total, longest = total + pieces, max(longest, pieces)
    check_work(total, outputs, limits)
    check_memory("attention", NUMBER * numbers, limits)
    at_once = min(longest, translator.longest_source)
    check_memory("search", sizes.search(outputs, translator.longest_output(at_once)), limits)
    return total * outputs


@dataclass(frozen=True)
class View:
    """One text that is looked at, and how."""

    kind: Literal["look", "heads", "heatmap", "comparison", "gradient", "occlusion", "beam"]
    text: str
    target: str | None = None
    prefix: str | None = None
    outputs: int = 1
    """SearchModel side by side."""
    heads: int = 1
    """That are drawn."""

    def work(self, translator: Translator, limits: Limits) -> int:
        """About what it takes, in pieces times outputs. Raises Fault if that is too much."""
        source = self.source(translator)
        goes_in_segments = self.kind == "look" and translator.in_segments(self.text)
        check_pieces("the text", source, limits, looked_at=not goes_in_segments)
        forced = {"the target": self.target, "the prefix": self.prefix}
        lengths = {name: pieces_of(translator, text) for name, text in forced.items() if text is not None}
        for name, length in lengths.items():
            check_pieces(name, length, limits, looked_at=True)
        check_work(source, self.outputs, limits)
        at_once = min(source, translator.longest_source)
        longest = max(translator.longest_output(at_once), lengths.get("the prefix", 0) + 1)
        sizes = Sizes(translator.model)
        check_memory("search", sizes.search(self.outputs, longest), limits)
        if self.kind == "beam":
            check_memory("the tree", sizes.tree(self.outputs, longest), limits)
        target = lengths.get("the target", 0)
        if target and not goes_in_segments:  # of which nothing is looked at
            self.check(translator, target, limits)
        searched = (source + lengths.get("the prefix", 0)) * self.outputs
        written = target or source  # about as much, where it is not known
        steps = {
            "beam": 4 * searched,
            "gradient": 3 * written * (source + written),  # there and back, for each word of the output
            "occlusion": source * (source + written),
        }
        return searched + target + steps.get(self.kind, 3 * source)

    def check(self, translator: Translator, target: int, limits: Limits) -> None:
        """Raise Fault if it takes too much memory with an output of so many pieces."""
        check_pieces("the output", target, limits, looked_at=True)
        sizes, source = Sizes(translator.model), self.source(translator)
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
        check_memory("what is looked at", needed, limits)

    def source(self, translator: Translator) -> int:
        """Pieces that are read at once."""
        pieces = pieces_of(translator, self.text)
        return min(pieces, translator.longest_source + 1) if translator.whole else pieces


def _too_much(what: str, why: str, fix: str) -> Fault:
    return Fault(HTTPStatus.UNPROCESSABLE_ENTITY, what, why=why, fix=fix)
