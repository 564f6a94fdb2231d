"""Parallel recurrences: states that are carried along, by gates that do not wait for them.

A GRU or an LSTM computes its gates from the state before, so every step waits. Here gates see the input
alone: all are known at once, what is left is linear in the state, and a scan computes all states. In the
blocks of a Transformer such a recurrence takes the place of self-attention.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from atonce.layers.attention import KeyValue, MultiHeadAttention
from atonce.layers.recurrence import Directions
from atonce.layers.scan import pairing_scan
from atonce.layers.transformer import FeedForwardBlock, Residual
from atonce.shapes import Bool, Float

ParallelCell = Literal["mingru", "minlstm", "ssru"]


class ParallelRecurrence(nn.Module):
    """h_t = k_t ⊙ h_{t-1} + (1 - k_t) ⊙ c_t: a running mean of candidates c, with k_t the share that is kept.

    A subclass says what share is kept and what the candidates are, both from the input at t alone. Before the
    first position the state is zero; it never leaves the range of zero and the candidates, however long the
    sequence.
    """

    def kept(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """The share of the state that is kept, between 0 and 1."""
        raise NotImplementedError

    def candidate(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """What the rest of the state becomes."""
        raise NotImplementedError

    def output(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """What the layer shows of its states: the states, where a subclass does not say otherwise."""
        return states

    def forward(
        self, inputs: Float[Tensor, "batch time input_dim"], first: Float[Tensor, "batch dim"] | None = None
    ) -> Float[Tensor, "batch time dim"]:
        """The output at each position, all at once. `first`: the state before the first position."""
        kept = self.kept(inputs)
        # Factor and term of h_t = a_t · h_{t-1} + b_t.
        return self.output(pairing_scan(kept, (1 - kept) * self.candidate(inputs), first))

    def step(
        self, inputs: Float[Tensor, "batch input_dim"], state: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch dim"]:
        """The state after one more position; its `output` is what `forward` gives there."""
        kept = self.kept(inputs)
        return kept * state + (1 - kept) * self.candidate(inputs)


class MinGRU(ParallelRecurrence):
    """A GRU whose update gate does not see the state, without reset gate (Feng 2024, section 3.1).

    z_t = σ(W_z x_t), h̃_t = g(W_h x_t), h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t. g is `positive`: the
    paper has it in appendix B, so that its scan can take logarithms. Ours needs none; the model is the same.
    """

    def __init__(self, input_dim: int, dim: int) -> None:
        super().__init__()
        self.update = nn.Linear(input_dim, dim)
        self.hidden = nn.Linear(input_dim, dim)

    def kept(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """1 - z_t."""
        # Not 1 - σ(x), which has lost its digits where it is close to zero.
        return (-_projected(self.update, inputs)).sigmoid()

    def candidate(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """h̃_t."""
        return positive(_projected(self.hidden, inputs))


class MinLSTM(ParallelRecurrence):
    """An LSTM whose gates do not see the state, and share it out between them (Feng 2024, section 3.2).

    f_t = σ(W_f x_t), i_t = σ(W_i x_t), h̃_t = g(W_h x_t), g being `positive` (appendix B). Normalised,
    f'_t = f_t / (f_t + i_t) and i'_t = i_t / (f_t + i_t) sum to one: h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ h̃_t. There
    is no output gate and no cell beside the state.
    """

    def __init__(self, input_dim: int, dim: int) -> None:
        super().__init__()
        self.forget = nn.Linear(input_dim, dim)
        self.input = nn.Linear(input_dim, dim)
        self.hidden = nn.Linear(input_dim, dim)

    def kept(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """f'_t, as σ(log f_t - log i_t): the quotient of two gates that are both zero would be no number."""
        log_forget = nn.functional.logsigmoid(_projected(self.forget, inputs))
        log_input = nn.functional.logsigmoid(_projected(self.input, inputs))
        return (log_forget - log_input).sigmoid()

    def candidate(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """h̃_t."""
        return positive(_projected(self.hidden, inputs))


class SSRU(ParallelRecurrence):
    """The simpler simple recurrent unit (Kim 2019, section 3.1), made for fast decoders of translators.

    f_t = σ(W_f x_t + b_f), c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ W x_t, and the output is ReLU(c_t).
    """

    def __init__(self, input_dim: int, dim: int) -> None:
        super().__init__()
        self.forget = nn.Linear(input_dim, dim)
        # No bias: in the paper only the gate has one.
        self.value = nn.Linear(input_dim, dim, bias=False)

    def kept(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """f_t."""
        return _projected(self.forget, inputs).sigmoid()

    def candidate(self, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
        """W x_t."""
        return _projected(self.value, inputs)

    def output(self, states: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """ReLU(c_t)."""
        return states.relu()


PARALLEL_RECURRENCES: dict[ParallelCell, type[MinGRU] | type[MinLSTM] | type[SSRU]] = {
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "ssru": SSRU,
}


def positive(inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """g(x) = x + 0.5 where x ≥ 0, σ(x) elsewhere: rising, and above zero (Feng 2024, appendix B)."""
    return torch.where(inputs >= 0, inputs + 0.5, inputs.sigmoid())


def _projected(linear: nn.Module, inputs: Float[Tensor, "*batch input_dim"]) -> Float[Tensor, "*batch dim"]:
    """The linear layer's outputs in the precision of its inputs.

    Autocast would hand bfloat16 on to the gates, where shares above 0.998 are one, and to the scan.
    """
    return cast(Tensor, linear(inputs)).to(inputs.dtype)


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
        # A recurrence knows rows; attention wants them by sentence, so that the source is there once.
        after = self.recurrence.step(self.recurrence_residual.branch(states).flatten(0, 1), before)
        # The state goes on as it is: SSRU's ReLU is of what is shown alone.
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
