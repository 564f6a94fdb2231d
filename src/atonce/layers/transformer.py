"""Transformer blocks: attention, then a feed-forward layer, each with a residual connection and a norm."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention
from atonce.layers.dropout import dropout
from atonce.shapes import Bool, Float

Norm = Literal["pre", "post"]


class FeedForward(nn.Module):
    """Two layers with ReLU between them, at each position alone (Vaswani 2017, equation 2)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden)
        self.output = nn.Linear(hidden, dim)

    def forward(self, states: Float[Tensor, "batch len dim"]) -> Float[Tensor, "batch len dim"]:
        """Each position by itself."""
        return self.output(F.relu(self.hidden(states)))


class Residual(nn.Module):
    """Where a part of a block branches off and comes back, with its norm before (pre) or after (post).

    Post-norm is Vaswani 2017, section 3.1; pre-norm (Xiong 2020) trains without a long warm-up.
    """

    def __init__(self, dim: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.pre = norm == "pre"
        self.dropout = dropout

    def branch(self, states: Float[Tensor, "batch len dim"]) -> Float[Tensor, "batch len dim"]:
        """What the part is given."""
        return self.norm(states) if self.pre else states

    def join(
        self, states: Float[Tensor, "batch len dim"], part: Float[Tensor, "batch len dim"]
    ) -> Float[Tensor, "batch len dim"]:
        """The states with what the part made of them added."""
        summed = states + dropout(part, self.dropout, self.training)
        return summed if self.pre else self.norm(summed)


class EncoderBlock(nn.Module):
    """Every position looks at every other, all at once; then each thinks alone."""

    def __init__(self, dim: int, heads: int, feed_forward: int, *, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, role="encoder-self")
        self.attention_residual = Residual(dim, norm, dropout)
        self.feed_forward = FeedForward(dim, feed_forward)
        self.feed_forward_residual = Residual(dim, norm, dropout)

    def forward(
        self, states: Float[Tensor, "batch len dim"], mask: Bool[Tensor, "batch 1 len"] | None
    ) -> Float[Tensor, "batch len dim"]:
        """`mask`: True where a position is real; None where all are."""
        query = self.attention_residual.branch(states)
        states = self.attention_residual.join(
            states, self.attention(query, self.attention.project(query), mask)
        )
        part = self.feed_forward(self.feed_forward_residual.branch(states))
        return self.feed_forward_residual.join(states, part)


class DecoderBlock(nn.Module):
    """Every position looks at those before it, then at the source; then each thinks alone.

    The same code serves training, where all positions of the target are new at once, and generation, where
    one is new and the others' keys and values were kept.
    """

    def __init__(self, dim: int, heads: int, feed_forward: int, *, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, role="decoder-self")
        self.attention_residual = Residual(dim, norm, dropout)
        self.cross_attention = MultiHeadAttention(dim, heads, role="cross")
        self.cross_attention_residual = Residual(dim, norm, dropout)
        self.feed_forward = FeedForward(dim, feed_forward)
        self.feed_forward_residual = Residual(dim, norm, dropout)

    def forward(
        self,
        states: Float[Tensor, "batch new_len dim"],
        past: KeyValue | None,
        source: KeyValue,
        source_mask: Bool[Tensor, "batch 1 source_len"] | None,
    ) -> tuple[Float[Tensor, "batch new_len dim"], KeyValue]:
        """The new positions' states, and the keys and values of all positions so far.

        `past`: keys and values of the positions before (then there is one new one), or None at the start.
        """
        query = self.attention_residual.branch(states)
        seen = self.attention.project(query)
        if past is not None:
            seen = KeyValue(torch.cat([past.key, seen.key], 2), torch.cat([past.value, seen.value], 2))
        states = self.attention_residual.join(states, self.attention(query, seen, causal=past is None))

        query = self.cross_attention_residual.branch(states)
        states = self.cross_attention_residual.join(states, self.cross_attention(query, source, source_mask))

        part = self.feed_forward(self.feed_forward_residual.branch(states))
        return self.feed_forward_residual.join(states, part), seen
