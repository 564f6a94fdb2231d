"""The Transformer (Vaswani 2017): context from every position to every other, and no wait."""

from collections.abc import Iterable
from typing import NamedTuple, cast

from torch import Tensor, nn

from atonce.layers.attention import KeyValue
from atonce.layers.dropout import dropout
from atonce.layers.summary import mean_of_real
from atonce.layers.transformer import DecoderBlock, EncoderBlock
from atonce.layers.window import window_mask
from atonce.models.decoder import PieceDecoder
from atonce.models.embedding import PieceEmbedding
from atonce.models.interface import Memory
from atonce.shapes import Bool, Float, Int


class TransformerEncoder(nn.Module):
    """Self-attention blocks over the source. `window`: how far each may look, to either side."""

    def __init__(
        self, blocks: Iterable[EncoderBlock], positions: nn.Module, final_norm: nn.Module, *,
        window: int | None, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.positions = positions
        self.layers = nn.ModuleList(blocks)
        self.final_norm = final_norm
        self.window = window
        self.dropout = dropout

    def forward(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """All positions of a layer at once; the summary is their mean."""
        placed = self.positions(embedded)
        states = dropout(placed.states, self.dropout, self.training)
        seen = nearby(mask, self.window)
        for layer in self.layers:
            states = layer(states, seen, placed.rotation)
        states = self.final_norm(states)
        return Memory(states, mask, mean_of_real(states, mask))


class TransformerState(NamedTuple):
    """Keys and values: of the target so far, growing by one each step, and of the source.

    How many there are says where the next piece stands. With a window the old ones are kept but not seen.
    """

    past: tuple[KeyValue, ...]
    source: tuple[KeyValue, ...]
    source_mask: Bool[Tensor, "batch source_len"]


class TransformerDecoder(PieceDecoder):
    """Masked self-attention blocks over the target, each with attention to the source.

    `window`: how far each may look back.
    """

    def __init__(
        self, embedding: PieceEmbedding, output: PieceEmbedding, blocks: Iterable[DecoderBlock],
        positions: nn.Module, final_norm: nn.Module, *, window: int | None, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(output)
        self.embedding = embedding
        self.positions = positions
        self.layers = nn.ModuleList(blocks)
        self.final_norm = final_norm
        self.window = window
        self.dropout = dropout

    def start(self, memory: Memory) -> TransformerState:
        """The source's keys and values for each block, and an empty past."""
        source = self._source(memory)
        past = tuple(KeyValue(seen.key[:, :, :0], seen.value[:, :, :0]) for seen in source)
        return TransformerState(past, source, memory.mask)

    def advance(
        self, token: Int[Tensor, " batch"], state: TransformerState
    ) -> tuple[Float[Tensor, "batch dim"], TransformerState]:
        """One position through all blocks; the ones before it are not computed again."""
        position = state.past[0].key.shape[2]
        states, rotation = self.positions(self.embedding(token[:, None]), start=position)
        recent = window_mask(1, position + 1, self.window, causal=True, device=token.device)
        seen = attendable(state.source_mask)
        grown = []
        for block, past, source in zip(self.layers, state.past, state.source, strict=True):
            states, now = block(states, past, source, seen, mask=recent, rotation=rotation)
            grown.append(now)
        features = self.final_norm(states)[:, 0]
        return features, TransformerState(tuple(grown), state.source, state.source_mask)

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """All positions of a layer at once: the whole target is known, and a mask hides what comes later."""
        placed = self.positions(self.embedding(target_in))
        states = dropout(placed.states, self.dropout, self.training)
        length = target_in.shape[1]
        recent = window_mask(length, length, self.window, causal=True, device=target_in.device)
        seen = attendable(memory.mask)
        for block, source in zip(self.layers, self._source(memory), strict=True):
            states, _ = block(states, None, source, seen, mask=recent, rotation=placed.rotation)
        return self.final_norm(states)

    def _source(self, memory: Memory) -> tuple[KeyValue, ...]:
        """The source's keys and values for each block."""
        return tuple(
            cast(DecoderBlock, block).cross_attention.project(memory.states) for block in self.layers
        )


def attendable(mask: Bool[Tensor, "batch len"]) -> Bool[Tensor, "batch 1 len"] | None:
    """The mask that every query shares; None where nothing is padding: kernels without a mask are faster."""
    return None if mask.all() else mask[:, None]


def nearby(mask: Bool[Tensor, "batch len"], window: int | None) -> Bool[Tensor, "#batch #len len"] | None:
    """Where each position may look: at real ones, within the window; None where everywhere."""
    real = attendable(mask)
    near = window_mask(mask.shape[1], mask.shape[1], window, causal=False, device=mask.device)
    return real if near is None else near if real is None else near & real
