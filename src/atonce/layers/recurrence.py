"""Recurrence: a state that is updated position by position, each update waiting for the one before.

A whole sequence goes through the library's fused kernels, one position through its cells: the same weights,
the same numbers.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from atonce.layers.dropout import dropout
from atonce.shapes import Bool, Float

Cell = Literal["rnn", "gru", "lstm"]
LayerState = tuple[Float[Tensor, "batch dim"], ...]
"""State of one layer: (hidden,), or (hidden, cell) of an LSTM."""

_SEQUENCES: dict[Cell, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


class RecurrentLayer(nn.Module):
    """One recurrent layer, left to right.

    A plain one with tanh (Elman 1990), a GRU (Cho 2014, torch's variant) or an LSTM (Hochreiter 1997).
    """

    def __init__(self, cell: Cell, input_dim: int, dim: int) -> None:
        super().__init__()
        self.cell: Cell = cell
        # One layer, one direction, though torch's have more: so padding can be reversed between layers, and
        # the states of each can be looked at.
        self.sequence = _SEQUENCES[cell](input_dim, dim, batch_first=True)

    def forward(
        self, inputs: Float[Tensor, "batch time input_dim"], state: LayerState | None = None
    ) -> Float[Tensor, "batch time dim"]:
        """The hidden state after each position. Fused, but a chain all the same."""
        if state is None:
            return self.sequence(inputs)[0]
        # torch's kernels have a dimension of layers first.
        stacked = tuple(part[None] for part in state)
        return self.sequence(inputs, stacked if self.cell == "lstm" else stacked[0])[0]

    def step(self, inputs: Float[Tensor, "batch input_dim"], state: LayerState) -> LayerState:
        """The state after one more position."""
        # W_ih, W_hh, b_ih, b_hh: as torch's cells take them. An `nn.GRUCell` would be a second set of
        # weights.
        weights = tuple(self.sequence.parameters())
        match self.cell:
            case "rnn":
                return (torch.rnn_tanh_cell(inputs, state[0], *weights),)
            case "gru":
                return (torch.gru_cell(inputs, state[0], *weights),)
            case "lstm":
                return torch.lstm_cell(inputs, state, *weights)


class RecurrentStack(nn.Module):
    """Recurrent layers on top of one another, with dropout between them."""

    def __init__(self, cell: Cell, input_dim: int, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        widths = [input_dim] + [dim] * (layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(cell, width, dim) for width in widths)
        self.dropout = dropout

    def forward(
        self, inputs: Float[Tensor, "batch time input_dim"], states: Sequence[LayerState]
    ) -> Float[Tensor, "batch time dim"]:
        """The top layer's hidden state after each position, starting from one state for each layer."""
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if number:
                inputs = dropout(inputs, self.dropout, self.training)
            inputs = layer(inputs, state)
        return inputs

    def step(
        self, inputs: Float[Tensor, "batch input_dim"], states: Sequence[LayerState]
    ) -> tuple[LayerState, ...]:
        """The state of each layer after one more position."""
        after: list[LayerState] = []
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if number:
                inputs = dropout(inputs, self.dropout, self.training)
            after.append(cast(RecurrentLayer, layer).step(inputs, state))
            inputs = after[-1][0]
        return tuple(after)


def reverse_real(
    sequence: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch time dim"]:
    """Each row's real positions in reverse order; the padding stays at the end.

    So a layer that reads right to left starts at the last real word, however much padding follows it,
    and the fused kernels need no packed sequences. It is its own inverse.
    """
    position = torch.arange(mask.shape[1], device=mask.device)
    mirrored = mask.sum(1, keepdim=True) - 1 - position
    source = torch.where(mask, mirrored, position)
    return sequence.gather(1, source[..., None].expand(sequence.shape))


def last_real(
    sequence: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch dim"]:
    """Each row at its last real position."""
    last = mask.sum(1) - 1
    return sequence[torch.arange(len(last), device=last.device), last]


class Directions(nn.Module):
    """A recurrence over the whole source, left to right, and perhaps another one right to left beside it.

    Each maps inputs `(batch, time, dim)` to outputs of its width, first position to last.
    """

    def __init__(self, rightwards: nn.Module, leftwards: nn.Module | None = None) -> None:
        super().__init__()
        self.rightwards = rightwards
        self.leftwards = leftwards

    def forward(
        self, inputs: Float[Tensor, "batch time input_dim"], mask: Bool[Tensor, "batch time"]
    ) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch dim"]]:
        """The outputs, and the last one of each direction side by side. Padding changes neither."""
        rightwards = self.rightwards(inputs)
        if self.leftwards is None:
            return rightwards, last_real(rightwards, mask)
        mirrored = self.leftwards(reverse_real(inputs, mask))
        # Put back in order, position by position; the last one of the mirrored is that of the first word.
        outputs = torch.cat([rightwards, reverse_real(mirrored, mask)], dim=-1)
        return outputs, torch.cat([last_real(rightwards, mask), last_real(mirrored, mask)], dim=-1)
