"""What encoders give and decoders take. Training, search and pictures know no more of a model than this.

Also what all of them share: the table of tokens.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.shapes import Bool, Float, Int, Shaped


class Memory(NamedTuple):
    """What an encoder makes of the source."""

    states: Float[Tensor, "batch source_len dim"]
    """One vector for each position, in context."""
    mask: Bool[Tensor, "batch source_len"]
    """True where a position is real."""
    pooled: Float[Tensor, "batch dim"]
    """One vector for the whole."""
    listed: Int[Tensor, "batch listed"] | None = None
    """The only tokens that an output is made of, in the order of the vocabulary, -1 behind a shorter list;
    None: all. Some engines say so."""


def stacked(memories: Sequence[Memory]) -> Memory:
    """Several batches as one, in order, padded to the longest of them."""
    if len(memories) == 1:
        return memories[0]
    # All of them or none: one engine encoded them.
    listed = [memory.listed for memory in memories if memory.listed is not None]
    return Memory(
        _joined([memory.states for memory in memories], 0),
        _joined([memory.mask for memory in memories], 0),
        torch.cat([memory.pooled for memory in memories]),
        _joined(listed, -1) if listed else None,
    )


def _joined(
    parts: Sequence[Shaped[Tensor, "rows length *content"]], value: int
) -> Shaped[Tensor, "all_rows longest *content"]:
    """Batches as one, each padded to the length of the longest."""
    longest = max(part.shape[1] for part in parts)
    # `F.pad` counts dimensions from the last: all but the length stay.
    behind = [(0, 0) * (part.ndim - 2) + (0, longest - part.shape[1]) for part in parts]
    return torch.cat([F.pad(part, more, value=value) for part, more in zip(parts, behind, strict=True)])


def repeated(memory: Memory, times: int) -> Memory:
    """Each row as many times, one behind the other."""
    states, mask, pooled = (part.repeat_interleave(times, 0) for part in memory[:3])
    return Memory(
        states, mask, pooled, None if memory.listed is None else memory.listed.repeat_interleave(times, 0)
    )


State = Any
"""What a decoder carries from step to step; only it knows what is inside. Always nested tuples of tensors, so
that one function reorders the state of any decoder. Their first dimension is the batch, a row for each
beginning of an output; within `Shared` it has a row for each sentence. Numbers and None are for all rows."""

Content = TypeVar("Content")


class Shared(NamedTuple, Generic[Content]):
    """What all beginnings of a sentence have in common: nothing is kept once for each of them.

    The batch holds as many beginnings of every sentence, sentence after sentence.
    """

    content: Content


Source = Int[Tensor, "batch source_len"] | Float[Tensor, "batch height width"]
"""What a model reads: tokens, or grey images from 0 (paper) to 1 (ink)."""


@runtime_checkable
class SourceEmbedding(Protocol):
    """Makes a sequence of vectors of the source, each position by itself: of tokens, or of an image."""

    def read(
        self, source: Source, mask: Bool[Tensor, "batch real"]
    ) -> tuple[Float[Tensor, "batch source_len dim"], Bool[Tensor, "batch source_len"]]:
        """The vectors, and which of them are real. `mask` says it of the source: tokens, or columns."""
        ...


class TokenEmbedding(nn.Module):
    """A vector for each token. The same table may serve source, target and output (Press and Wolf 2017)."""

    def __init__(self, vocab: int, dim: int) -> None:
        super().__init__()
        # So that a score, a sum over `dim` products, begins near one; `forward` scales vectors up again.
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(vocab, dim), std=dim**-0.5))
        self.scale = math.sqrt(dim)
        self.quantized: nn.Module | None = None
        """What scores tokens in place of the table: the same in fewer bits (`atonce.fast`)."""

    def forward(self, tokens: Int[Tensor, "batch len"]) -> Float[Tensor, "batch len dim"]:
        """Vectors of about unit size in each dimension, though the table's are small for the output's sake.

        Vaswani 2017, section 3.4.
        """
        return F.embedding(tokens, self.weight) * self.scale

    def read(
        self, source: Int[Tensor, "batch len"], mask: Bool[Tensor, "batch len"]
    ) -> tuple[Float[Tensor, "batch len dim"], Bool[Tensor, "batch len"]]:
        """As a source's embedding: a vector for each token, real where the token is."""
        return self(source), mask

    def logits(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch vocab"]:
        """How well features match each token."""
        if self.quantized is None:
            return F.linear(features, self.weight)
        return cast(Tensor, self.quantized(features))


@runtime_checkable
class Encoder(Protocol):
    """Puts each vector of a sequence in context."""

    layers: nn.ModuleList
    """First to last. Each gives the states of all positions `(batch, source_len, dim)`, alone or first."""

    def __call__(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """`mask`: True where a position is real. More padding changes nothing."""
        ...


class Decoder(nn.Module):
    """Writes the target. `logits(forward(...))` over a whole target equals `step` taken token by token.

    A subclass says where it starts, how it advances, and what it makes of a whole target.
    """

    def __init__(self, output: TokenEmbedding) -> None:
        """`output`: the table whose rows the features are compared with."""
        super().__init__()
        self.output = output

    def start(self, memory: Memory) -> State:
        """The state before the first token."""
        raise NotImplementedError

    def advance(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch dim"], State]:
        """Features of the next position, and the state with `token` taken in: a step without its scores."""
        raise NotImplementedError

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """Teacher forcing: features of every position of a known target.

        All positions at once wherever the architecture allows it, and a loop where it does not.
        """
        raise NotImplementedError

    def step(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch vocab"], State]:
        """Scores of the next token after `token`, and the state with `token` taken in."""
        features, state = self.advance(token, state)
        return self.logits(features), state

    def logits(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch vocab"]:
        """Scores of every token from features."""
        return self.output.logits(features)


class Continuations(NamedTuple):
    """The best continuations of each sentence, best first."""

    totals: Float[Tensor, "sentences count"]
    """Log-probability of the beginning with its new token."""
    places: Int[Tensor, "sentences count"]
    """Which of the sentence's beginnings each one continues."""
    tokens: Int[Tensor, "sentences count"]


# No protocol: each step of a search asks `isinstance`, which takes 7 to 17 µs of a protocol, and a step 250.
class TopKDecoder(Decoder):
    """A decoder that chooses the likeliest tokens itself, faster than by a table of all scores."""

    def topk(
        self,
        features: Float[Tensor, "rows dim"],
        state: State,
        totals: Float[Tensor, "sentences width"],
        suppress: Int[Tensor, " suppressed"],
        count: int,
    ) -> Continuations:
        """The `count` likeliest continuations of each sentence; fewer where there are no more.

        `features`, `state`: what `advance` gave. `totals`, `suppress`: see `decoding.topk`.
        """
        raise NotImplementedError

    def fewest_scores(self, count: int) -> int:
        """How many numbers for each row there are at once, at least, while `count` tokens are chosen."""
        raise NotImplementedError


Batch = TypeVar("Batch")
Found = TypeVar("Found")


@runtime_checkable
# A protocol and no base class: the model itself, a module, and an engine, which is none, serve alike.
class SearchModel(Protocol):
    """What search needs of a model: the model itself, or an `Engine`."""

    @property
    def batch_tokens(self) -> int | None:
        """Rows times the longest source of a batch that is searched fastest; None: the larger, the faster."""
        ...

    @property
    def decoder(self) -> Decoder:
        """What writes."""
        ...

    def encode(self, source: Source, mask: Bool[Tensor, "batch real"]) -> Memory:
        """Read the source. `mask`: True where a token, or a column of an image, is real."""
        ...

    def map_batches(self, search: Callable[[Batch], Found], batches: Sequence[Batch]) -> Iterator[Found]:
        """What is found for each batch, in order."""
        ...


class Engine(SearchModel, Protocol):
    """What a model is searched with in its place, as it is faster."""

    side_by_side: bool
    """Whether it searches several batches at a time, each on a thread of its own."""

    def serves(self, width: int, *, drawn: bool, forced: bool) -> bool:
        """Whether it is to search now, with a beam of this width; else the model does.

        `drawn`: whether tokens are drawn at random; `forced`: whether there is a prefix.
        """
        ...

    def warm_up(self) -> None:
        """Do now what would else be done during the first search."""
        ...
