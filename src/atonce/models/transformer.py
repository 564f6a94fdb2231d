"""The Transformer (Vaswani 2017): context from every position to every other, and no wait."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from atonce.layers.attention import KeyValue
from atonce.layers.dropout import dropout
from atonce.layers.kv_cache import AttentionBias, attention_bias
from atonce.layers.masks import attendable, mean_of_real, nearby, window_mask
from atonce.layers.transformer import (
    Activation,
    BlockCache,
    DecoderBlock,
    EncoderBlock,
    FeedForwardBlock,
    FusedLayers,
    StepAt,
)
from atonce.models.interface import Decoder, Memory, Shared, TokenEmbedding
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
        """All positions of a layer at once; the pooled vector is their mean."""
        placed = self.positions(embedded)
        states = dropout(placed.states, self.dropout, self.training)
        seen = nearby(mask, self.window)
        for layer in self.layers:
            states = layer(states, seen, placed.rotation)
        states = self.final_norm(states)
        return Memory(states, mask, mean_of_real(states, mask))


class FeedForwardEncoder(nn.Module):
    """A Transformer's encoder without attention and positions: no vector knows of another.

    The pooled vector, the mean of all, is the only place where they meet: a bag of words.
    """

    def __init__(
        self, dim: int, *, layers: int, feed_forward: int, activation: Activation, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(
            FeedForwardBlock(dim, feed_forward, activation=activation, dropout=dropout) for _ in range(layers)
        )
        # Without layers the states are the embeddings as they are.
        self.final_norm = nn.LayerNorm(dim) if layers else nn.Identity()

    def forward(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """All positions at once, since none waits for another; the pooled vector is their mean."""
        states = dropout(embedded, self.dropout, self.training)
        for layer in self.layers:
            states = layer(states)
        states = self.final_norm(states)
        return Memory(states, mask, mean_of_real(states, mask))


class TransformerState(NamedTuple):
    """Keys and values: of the target so far, growing with each step, and of the source.

    The beginnings of a sentence form a tree: what they have in common is kept once, in the order it was
    written, and none of it is moved when some beginnings are given up and others branch. `ancestry` says
    which of it each beginning consists of. With a window the old ones are kept but not seen.

    A state is advanced once: the new one is written into the memory of the old.
    """

    layers: tuple[FusedLayers, ...]
    """Those of each block."""
    caches: Shared[tuple[BlockCache, ...]]
    ancestry: Bool[Tensor, "batch kept_len"] | None
    """None while each sentence has had one beginning, which is all that is kept."""
    kept: int
    """Positions in the caches of each sentence."""
    position: int
    """Where the next token stands."""
    source_bias: Shared[AttentionBias]


class TransformerDecoder(Decoder):
    """Masked self-attention blocks over the target, each with attention to the source.

    `window`: how far each may look back.
    """

    def __init__(
        self, embedding: TokenEmbedding, output: TokenEmbedding, blocks: Iterable[DecoderBlock],
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
        # Anew for each search: weights may have changed since, and are laid out in half a millisecond.
        blocks = cast(list[DecoderBlock], list(self.layers))
        return TransformerState(
            layers=tuple(block.fused() for block in blocks),
            caches=Shared(tuple(block.start(memory.states) for block in blocks)),
            ancestry=None, kept=0, position=0,
            source_bias=Shared(attention_bias(memory.mask[:, None], memory.states)),
        )  # fmt: skip

    def advance(
        self, token: Int[Tensor, " batch"], state: TransformerState
    ) -> tuple[Float[Tensor, "batch dim"], TransformerState]:
        """One position through all blocks; the ones before it are not computed again."""
        placed = self.positions(self.embedding(token[:, None]), start=state.position)
        source_bias = state.source_bias.content
        sentences = len(source_bias.added)
        # Beginnings of a sentence become positions of one row, which look at one cache.
        states = placed.states.view(sentences, -1, placed.states.shape[-1])
        ancestry = _with_itself(state, sentences, states.shape[1], token.device)
        bias = attention_bias(self._recent(ancestry, state.position, token.device), states)
        at = StepAt(state.kept, bias, source_bias, placed.rotation)
        caches = []
        for block, layers, cache in zip(self.layers, state.layers, state.caches.content, strict=True):
            states, cache = cast(DecoderBlock, block).step(states, layers, cache, at)
            caches.append(cache)
        return self.final_norm(states).flatten(0, 1), state._replace(
            caches=Shared(tuple(caches)),
            ancestry=None if ancestry is None else ancestry.flatten(0, 1),
            kept=state.kept + states.shape[1],
            position=state.position + 1,
        )

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
            states = block(states, source, seen, mask=recent, rotation=placed.rotation)
        return self.final_norm(states)

    def _recent(
        self, ancestry: Bool[Tensor, "sentences width kept_len"] | None, position: int, device: torch.device
    ) -> Bool[Tensor, "#sentences #width kept_len"]:
        """Of its own, what each beginning may look at: within the window."""
        if ancestry is None:
            # With one beginning each, what is kept is the text: places are positions.
            near = window_mask(1, position + 1, self.window, causal=True, device=device)
            return torch.ones(1, 1, position + 1, dtype=torch.bool, device=device) if near is None else near
        if self.window is None:
            return ancestry
        # Places are no positions here, as others' tokens lie between: counted among its own.
        back = position + 1 - ancestry.cumsum(-1)
        return ancestry & (back <= self.window)

    def _source(self, memory: Memory) -> tuple[KeyValue, ...]:
        """The source's keys and values for each block."""
        return tuple(
            cast(DecoderBlock, block).cross_attention.project(memory.states) for block in self.layers
        )


def _with_itself(
    state: TransformerState, sentences: int, width: int, device: torch.device
) -> Bool[Tensor, "sentences width kept_len"] | None:
    """The ancestry with a new position of each of `width` beginnings: its own sees it, the others do not."""
    before = state.ancestry
    if before is None and width == 1:
        return None
    if before is None:
        # So far all had one beginning, and each new one has all of it before it.
        before = torch.ones(sentences * width, state.position, dtype=torch.bool, device=device)
    itself = torch.eye(width, dtype=torch.bool, device=device).expand(sentences, -1, -1)
    return torch.cat([before.unflatten(0, (sentences, width)), itself], dim=-1)
