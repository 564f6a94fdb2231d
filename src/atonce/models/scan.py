"""Transformers with a parallel recurrence where self-attention was: no wait in training, none for long texts.

The context comes through a state of constant size that is carried along, as in a recurrent net, but a scan
computes all states of a layer at once.
"""

from typing import Literal, NamedTuple, cast

from torch import Tensor, nn

from atonce.layers.attention import KeyValue
from atonce.layers.dropout import dropout
from atonce.layers.masks import attendable, mean_of_real
from atonce.layers.parallel_recurrence import (
    PARALLEL_RECURRENCES,
    ParallelCell,
    ScanDecoderBlock,
    ScanEncoderBlock,
)
from atonce.layers.recurrence import Directions
from atonce.models.interface import Decoder, Memory, Shared, TokenEmbedding
from atonce.shapes import Bool, Float, Int


class ScanEncoder(nn.Module):
    """Parallel recurrences over the source, in one direction or in both, half of the width each.

    Positions are not added to the embeddings: a state tells orders apart by itself, since what came earlier
    has passed through more gates.
    """

    def __init__(
        self, dim: int, *, cell: Literal["mingru", "minlstm"], layers: int, bidirectional: bool,
        feed_forward: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dropout = dropout
        ways = 2 if bidirectional else 1
        recurrence = PARALLEL_RECURRENCES[cell]
        self.layers = nn.ModuleList(
            ScanEncoderBlock(
                Directions(*(recurrence(dim, dim // ways) for _ in range(ways))),
                dim, feed_forward, dropout=dropout,
            )
            for _ in range(layers)
        )  # fmt: skip
        # Blocks are pre-norm: the sum that goes through them grows, and is normed once at the end.
        self.final_norm = nn.LayerNorm(dim)

    def forward(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """All positions of a layer at once; the pooled vector is their mean.

        The last states would be those of the residual stream, where the last word speaks loudest; the mean
        hears every word, in context, and each learns from it directly.
        """
        states = dropout(embedded, self.dropout, self.training)
        for layer in self.layers:
            states = layer(states, mask)
        states = self.final_norm(states)
        return Memory(states, mask, mean_of_real(states, mask))


class ScanState(NamedTuple):
    """The recurrences' states, which do not grow, and the source's keys and values, which do not change."""

    recurrences: tuple[Float[Tensor, "batch dim"], ...]
    source: Shared[tuple[KeyValue, ...]]
    source_mask: Shared[Bool[Tensor, "sentences source_len"]]


class ScanDecoder(Decoder):
    """Parallel recurrences over the target, each with attention to the source.

    With `ssru` the decoder of Kim 2019. A step takes as long after a thousand tokens as after one.
    """

    def __init__(
        self, embedding: TokenEmbedding, output: TokenEmbedding, dim: int, *, cell: ParallelCell, layers: int,
        heads: int, feed_forward: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(output)
        self.embedding = embedding
        self.dropout = dropout
        recurrence = PARALLEL_RECURRENCES[cell]
        self.layers = nn.ModuleList(
            ScanDecoderBlock(recurrence(dim, dim), dim, heads, feed_forward, dropout=dropout)
            for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(dim)

    def start(self, memory: Memory) -> ScanState:
        """The source's keys and values for each block, and states of zero."""
        # Zeros and not the pooled vector: in training a scan begins with nothing, too (`ParallelRecurrence`).
        nothing = memory.states.new_zeros(memory.pooled.shape)
        return ScanState((nothing,) * len(self.layers), Shared(self._source(memory)), Shared(memory.mask))

    def advance(
        self, token: Int[Tensor, " batch"], state: ScanState
    ) -> tuple[Float[Tensor, "batch dim"], ScanState]:
        """One position through all blocks, each with one update of its state."""
        mask = state.source_mask.content
        # A sentence's beginnings next to one another, so that attention sees its source once.
        states = self.embedding(token.unflatten(0, (len(mask), -1)))
        seen = attendable(mask)
        recurrences = []
        for block, before, source in zip(self.layers, state.recurrences, state.source.content, strict=True):
            states, after = cast(ScanDecoderBlock, block).step(states, before, source, seen)
            recurrences.append(after)
        return self.final_norm(states).flatten(0, 1), state._replace(recurrences=tuple(recurrences))

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """All positions of a layer at once: the whole target is known, and no state hears of later ones."""
        states = dropout(self.embedding(target_in), self.dropout, self.training)
        seen = attendable(memory.mask)
        for block, source in zip(self.layers, self._source(memory), strict=True):
            states = block(states, source, seen)
        return self.final_norm(states)

    def _source(self, memory: Memory) -> tuple[KeyValue, ...]:
        """The source's keys and values for each block."""
        return tuple(
            cast(ScanDecoderBlock, block).cross_attention.project(memory.states) for block in self.layers
        )
