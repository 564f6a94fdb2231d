"""Transformer blocks with a parallel recurrence in place of self-attention. Pre-norm."""

from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention
from atonce.layers.parallel_recurrence import ParallelRecurrence
from atonce.layers.recurrence import Directions
from atonce.layers.transformer import FeedForwardBlock, Residual
from atonce.shapes import Bool, Float


class ScanEncoderBlock(nn.Module):
    """Every position takes in those before it, or those on both sides of it; then each thinks alone."""

    def __init__(self, recurrence: Directions, dim: int, feed_forward: int, *, dropout: float) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.recurrence_residual = Residual(dim, "pre", dropout)
        self.feed_forward = FeedForwardBlock(dim, feed_forward, activation="relu", dropout=dropout)

    def forward(
        self, states: Float[Tensor, "batch len dim"], mask: Bool[Tensor, "batch len"]
    ) -> Float[Tensor, "batch len dim"]:
        """`mask`: True where a position is real. Padding changes no real position."""
        carried, _ = self.recurrence(self.recurrence_residual.branch(states), mask)
        return self.feed_forward(self.recurrence_residual.join(states, carried))


class ScanDecoderBlock(nn.Module):
    """Every position takes in those before it, then looks at the source; then each thinks alone."""

    def __init__(
        self, recurrence: ParallelRecurrence, dim: int, heads: int, feed_forward: int, *, dropout: float
    ) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.recurrence_residual = Residual(dim, "pre", dropout)
        self.cross_attention = MultiHeadAttention(dim, heads, role="cross")
        self.cross_attention_residual = Residual(dim, "pre", dropout)
        self.feed_forward = FeedForwardBlock(dim, feed_forward, activation="relu", dropout=dropout)

    def forward(
        self,
        states: Float[Tensor, "batch target_len dim"],
        source: KeyValue,
        source_mask: Bool[Tensor, "batch 1 source_len"] | None,
    ) -> Float[Tensor, "batch target_len dim"]:
        """All positions at once. `source_mask`: True where a position is real; None where all are."""
        carried = self.recurrence(self.recurrence_residual.branch(states))
        return self._look(self.recurrence_residual.join(states, carried), source, source_mask)

    def step(
        self,
        states: Float[Tensor, "sentences width dim"],
        before: Float[Tensor, "rows dim"],
        source: KeyValue,
        source_mask: Bool[Tensor, "sentences 1 source_len"] | None,
    ) -> tuple[Float[Tensor, "sentences width dim"], Float[Tensor, "rows dim"]]:
        """One position of each of `width` beginnings, and the recurrences' states after it.

        `before`: the recurrences' states before it, beginnings of the same sentence next to each other.
        """
        after = self.recurrence.step(self.recurrence_residual.branch(states).flatten(0, 1), before)
        carried = self.recurrence.output(after).view_as(states)
        states = self._look(self.recurrence_residual.join(states, carried), source, source_mask)
        return states, after

    def _look(
        self,
        states: Float[Tensor, "batch len dim"],
        source: KeyValue,
        source_mask: Bool[Tensor, "batch 1 source_len"] | None,
    ) -> Float[Tensor, "batch len dim"]:
        """What comes after the recurrence: no position waits for another."""
        query = self.cross_attention_residual.branch(states)
        seen = self.cross_attention(query, source, source_mask)
        return self.feed_forward(self.cross_attention_residual.join(states, seen))
