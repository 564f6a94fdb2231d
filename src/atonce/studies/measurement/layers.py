"""The lineage, layer by layer: what there is to measure, and what of torch's own it is held against."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers import scan
from atonce.layers.masks import window_mask
from atonce.layers.parallel_recurrence import MinGRU
from atonce.layers.recurrence import Cell, Directions, LayerState, RecurrentLayer
from atonce.layers.transformer import EncoderBlock, FeedForward
from atonce.shapes import Float

DIM = 16
"""Width of what is counted. Chains do not depend on it; work does."""
WINDOW = 4
"""Positions on either side that windowed self-attention sees."""


@dataclass(frozen=True)
class Peer:
    """A layer of torch's own that does the like by a fused kernel."""

    title: str
    make: Callable[[int], nn.Module]
    """Of this width; what it gives is the states, or begins with them."""


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer over a sequence: (batch, time, dim) in and out."""

    name: str
    title: str
    make: Callable[[int, int], nn.Module]
    """The layer of this width, and at this depth in a stack, counted from 0."""
    peer: Peer | None = None
    """What it is timed beside; for a parallel recurrence the recurrent layer in whose place it stands."""

    def stack(self, depth: int, dim: int = DIM) -> nn.Sequential:
        """So many on top of one another."""
        return nn.Sequential(*(self.make(dim, place) for place in range(depth)))


class Recurrence(nn.Module):
    """A recurrent layer, or two in opposite directions side by side, over positions that are all real."""

    def __init__(self, cell: Cell, input_dim: int, dim: int, *, ways: int = 1) -> None:
        super().__init__()
        self.directions = Directions(*(RecurrentLayer(cell, input_dim, dim) for _ in range(ways)))

    def forward(self, states: Float[Tensor, "batch time input_dim"]) -> Float[Tensor, "batch time out_dim"]:
        """The hidden states, those of both directions beside one another."""
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        outputs: Tensor = self.directions(states, mask)[0]
        return outputs


class CellByCell(nn.Module):
    """What a fused kernel hides: one cell after another."""

    def __init__(self, cell: Cell, dim: int) -> None:
        super().__init__()
        self.layer = RecurrentLayer(cell, dim, dim)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """A loop over the positions."""
        nothing = torch.zeros_like(states[:, 0])
        state: LayerState = (nothing, nothing) if self.layer.cell == "lstm" else (nothing,)
        hidden = []
        for inputs in states.unbind(1):
            state = self.layer.step(inputs, state)
            hidden.append(state[0])
        return torch.stack(hidden, dim=1)


class MinGRUInALoop(nn.Module):
    """The recurrence as it is written."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = MinGRU(dim, dim)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Gates and candidates at once, the states one by one."""
        kept = self.layer.kept(states)
        return scan.loop_scan(kept, (1 - kept) * self.layer.candidate(states))


class MinGRUByLogarithms(nn.Module):
    """The same as running sums of logarithms (Feng 2024, appendix B)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = MinGRU(dim, dim)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """All states at once."""
        gate = self.layer.update(states)
        terms = F.logsigmoid(gate) + self.layer.candidate(states).log()
        return scan.log_scan(F.logsigmoid(-gate), terms)


class SelfAttention(nn.Module):
    """A block of the Transformer's encoder. `window`: positions it sees on either side; None: all."""

    def __init__(self, dim: int, window: int | None = None) -> None:
        super().__init__()
        self.block = EncoderBlock(dim, heads(dim), 4 * dim, norm="pre", dropout=0.0)
        self.window = window

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Every position looks at the others, all at once."""
        length = states.shape[1]
        seen = window_mask(length, length, self.window, causal=False, device=states.device)
        mixed: Tensor = self.block(states, seen)
        return mixed


class Convolution(nn.Module):
    """Width 3, as long as its input, and the positive part of the sum."""

    def __init__(self, dim: int, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Each position with a neighbour on either side."""
        mixed: Tensor = self.convolution(states.mT)
        return mixed.relu().mT


def heads(dim: int) -> int:
    """Of self-attention in this width."""
    return max(2, dim // 32)


RNN = Peer("torch.nn.RNN", lambda dim: nn.RNN(dim, dim, batch_first=True))
GRU = Peer("torch.nn.GRU", lambda dim: nn.GRU(dim, dim, batch_first=True))
LSTM = Peer("torch.nn.LSTM", lambda dim: nn.LSTM(dim, dim, batch_first=True))
BOTH_WAYS = Peer(
    "torch.nn.LSTM, bidirectional",
    lambda dim: nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True),
)
TRANSFORMER = Peer(
    "torch.nn.TransformerEncoderLayer",
    lambda dim: nn.TransformerEncoderLayer(
        dim, heads(dim), 4 * dim, dropout=0.0, batch_first=True, norm_first=True
    ),
)

LAYERS = (
    LayerKind("feed-forward", "Feed-forward", lambda dim, _: FeedForward(dim, 4 * dim)),
    LayerKind("convolution", "Convolution, width 3", lambda dim, _: Convolution(dim)),
    LayerKind(
        "dilated-convolution", "Dilated convolution, width 3", lambda dim, place: Convolution(dim, 2**place)
    ),
    LayerKind("rnn", "RNN", lambda dim, _: RecurrentLayer("rnn", dim, dim), RNN),
    LayerKind("gru", "GRU", lambda dim, _: RecurrentLayer("gru", dim, dim), GRU),
    LayerKind("lstm", "LSTM", lambda dim, _: RecurrentLayer("lstm", dim, dim), LSTM),
    LayerKind("lstm-cells", "LSTM, cell by cell", lambda dim, _: CellByCell("lstm", dim), LSTM),
    LayerKind(
        "bidirectional-lstm", "Bidirectional LSTM",
        lambda dim, _: Recurrence("lstm", dim, dim // 2, ways=2), BOTH_WAYS,
    ),
    LayerKind("mingru-loop", "minGRU, in a loop", lambda dim, _: MinGRUInALoop(dim), GRU),
    LayerKind("mingru-scan", "minGRU, by scan", lambda dim, _: MinGRU(dim, dim), GRU),
    LayerKind("mingru-log-scan", "minGRU, by logarithms", lambda dim, _: MinGRUByLogarithms(dim), GRU),
    LayerKind(
        "windowed-self-attention", "Windowed self-attention", lambda dim, _: SelfAttention(dim, WINDOW),
        TRANSFORMER,
    ),
    LayerKind("self-attention", "Self-attention", lambda dim, _: SelfAttention(dim), TRANSFORMER),
)  # fmt: skip


def layer(name: str) -> LayerKind:
    """The kind of this name."""
    return next(kind for kind in LAYERS if kind.name == name)


def sequence(length: int) -> Float[Tensor, "1 length dim"]:
    """A sequence of random vectors, the same each time."""
    return torch.randn(1, length, DIM, generator=torch.Generator().manual_seed(length))
