"""The Transformer (Vaswani 2017): context from every position to every other, and no wait."""

from typing import NamedTuple, cast

from torch import Tensor, nn

from atonce.layers.attention import KeyValue
from atonce.layers.dropout import dropout
from atonce.layers.positions import sinusoids
from atonce.layers.transformer import DecoderBlock, EncoderBlock, Norm
from atonce.models.embedding import PieceEmbedding
from atonce.models.interface import Memory
from atonce.shapes import Bool, Float, Int


class TransformerEncoder(nn.Module):
    """Self-attention blocks over the source."""

    def __init__(
        self, embedding: PieceEmbedding, dim: int, *, layers: int, heads: int, feed_forward: int, norm: Norm,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = embedding
        self.dropout = dropout
        self.blocks = nn.ModuleList(
            EncoderBlock(dim, heads, feed_forward, norm=norm, dropout=dropout) for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()

    def forward(
        self, source: Int[Tensor, "batch source_len"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """All positions of a layer at once; the summary is their mean."""
        states = dropout(placed(self.embedding(source)), self.dropout, self.training)
        seen = attendable(mask)
        for block in self.blocks:
            states = block(states, seen)
        states = self.final_norm(states)
        real = mask[..., None].to(states.dtype)
        return Memory(states, mask, (states * real).sum(1) / real.sum(1))


class TransformerState(NamedTuple):
    """Keys and values: of the target so far, growing by one each step, and of the source."""

    past: tuple[KeyValue, ...]
    source: tuple[KeyValue, ...]
    source_mask: Bool[Tensor, "batch source_len"]


class TransformerDecoder(nn.Module):
    """Masked self-attention blocks over the target, each with attention to the source."""

    def __init__(
        self, embedding: PieceEmbedding, output: PieceEmbedding, dim: int, *, layers: int, heads: int,
        feed_forward: int, norm: Norm, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = embedding
        self.output = output
        self.dropout = dropout
        self.blocks = nn.ModuleList(
            DecoderBlock(dim, heads, feed_forward, norm=norm, dropout=dropout) for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()

    def start(self, memory: Memory) -> TransformerState:
        """The source's keys and values for each block, and an empty past."""
        source = self._source(memory)
        past = tuple(KeyValue(seen.key[:, :, :0], seen.value[:, :, :0]) for seen in source)
        return TransformerState(past, source, memory.mask)

    def step(
        self, token: Int[Tensor, " batch"], state: TransformerState
    ) -> tuple[Float[Tensor, "batch vocab"], TransformerState]:
        """One position through all blocks; the ones before it are not computed again."""
        position = state.past[0].key.shape[2]
        states = placed(self.embedding(token[:, None]), start=position)
        seen = attendable(state.source_mask)
        grown = []
        for block, past, source in zip(self.blocks, state.past, state.source, strict=True):
            states, now = block(states, past, source, seen)
            grown.append(now)
        logits = self.logits(self.final_norm(states)[:, 0])
        return logits, TransformerState(tuple(grown), state.source, state.source_mask)

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """All positions of a layer at once: the whole target is known, and a mask hides what comes later."""
        states = dropout(placed(self.embedding(target_in)), self.dropout, self.training)
        seen = attendable(memory.mask)
        for block, source in zip(self.blocks, self._source(memory), strict=True):
            states, _ = block(states, None, source, seen)
        return self.final_norm(states)

    def logits(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch vocab"]:
        """Scores of every piece from features."""
        return self.output.logits(features)

    def _source(self, memory: Memory) -> tuple[KeyValue, ...]:
        """The source's keys and values for each block."""
        return tuple(
            cast(DecoderBlock, block).cross_attention.project(memory.states) for block in self.blocks
        )


def placed(embedded: Float[Tensor, "batch len dim"], *, start: int = 0) -> Float[Tensor, "batch len dim"]:
    """Embeddings with their positions added, `start` being the first one's."""
    _, length, dim = embedded.shape
    return embedded + sinusoids(length, dim, start=start, device=embedded.device).to(embedded.dtype)


def attendable(mask: Bool[Tensor, "batch len"]) -> Bool[Tensor, "batch 1 len"] | None:
    """The mask that every query shares; None where nothing is padding: kernels without a mask are faster."""
    return None if mask.all() else mask[:, None]
