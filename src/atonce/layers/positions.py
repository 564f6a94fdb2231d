"""Where a vector stands in its sequence. Attention sees a set: it must be told.

Three ways: numbers that are added to each vector, fixed or learned, or a rotation of queries and keys.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.shapes import Float

PositionKind = Literal["sinusoidal", "learned", "rotary"]


def sinusoids(
    length: int,
    dim: int,
    *,
    start: int = 0,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "length dim"]:
    """Sines in the first half of the dimensions, cosines in the second, of ever longer wave lengths.

    Vaswani 2017, section 3.5, with the two kinds side by side instead of interleaved: the same numbers
    in another order. `start` is the position of the first row.
    """
    half = dim // 2
    # 10,000^(-i / half): wave lengths from 2π to 10,000 · 2π.
    rates = torch.exp(torch.arange(half, device=device, dtype=dtype) * (-math.log(10_000) / half))
    angles = torch.arange(start, start + length, device=device, dtype=dtype)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def rotated(
    states: Float[Tensor, "batch heads len head_dim"], rotation: Float[Tensor, "#len head_dim"]
) -> Float[Tensor, "batch heads len head_dim"]:
    """Queries or keys with each pair of dimensions turned by its angle (Su 2021, equation 34).

    `rotation`: sines and cosines of the angles, which are those of `sinusoids`. The product of a query and a
    key turned like this depends on how far apart they stand, not on where. A pair is a dimension and the one
    half of the width further, not its neighbour: the paper's numbers in another order.
    """
    sine, cosine = rotation.chunk(2, dim=-1)
    first, second = states.chunk(2, dim=-1)
    turned = torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    # Turned in the angles' precision, float32 at least, and rounded once.
    return turned.to(states.dtype)


class Placed(NamedTuple):
    """A sequence that knows where each of its vectors stands."""

    states: Float[Tensor, "batch len dim"]
    rotation: Float[Tensor, "len head_dim"] | None
    """By what self-attention turns queries and keys (`rotated`); None where positions are in the states."""


class SinusoidalPositions(nn.Module):
    """Adds `sinusoids`: nothing to learn, and no longest sequence."""

    def forward(self, embedded: Float[Tensor, "batch len dim"], *, start: int = 0) -> Placed:
        """`start`: the position of the first vector."""
        added = _exact_sinusoids(embedded, embedded.shape[-1], start)
        return Placed(embedded + added.to(embedded.dtype), None)


class LearnedPositions(nn.Module):
    """Adds a learned vector for each position (Gehring 2017, section 3.1).

    The table has `longest` of them. Positions beyond share its last one, so that a longer text is read and
    written to its end, though without an order there.
    """

    def __init__(self, dim: int, *, longest: int = 1024) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(longest, dim), std=dim**-0.5))
        self.scale = math.sqrt(dim)  # as in a table of tokens: vectors of the size of those they are added to

    def forward(self, embedded: Float[Tensor, "batch len dim"], *, start: int = 0) -> Placed:
        """`start`: the position of the first vector."""
        positions = torch.arange(start, start + embedded.shape[1], device=embedded.device)
        rows = F.embedding(positions.clamp(max=len(self.weight) - 1), self.weight)
        return Placed(embedded + rows * self.scale, None)


class RotaryPositions(nn.Module):
    """Leaves the vectors as they are; self-attention turns its queries and keys (Su 2021)."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim

    def forward(self, embedded: Float[Tensor, "batch len dim"], *, start: int = 0) -> Placed:
        """`start`: the position of the first vector."""
        return Placed(embedded, _exact_sinusoids(embedded, self.head_dim, start))


Positions = SinusoidalPositions | LearnedPositions | RotaryPositions


def build_positions(kind: PositionKind, dim: int, heads: int) -> Positions:
    """A way to tell attention of `heads` heads where vectors of `dim` numbers stand."""
    match kind:
        case "sinusoidal":
            return SinusoidalPositions()
        case "learned":
            return LearnedPositions(dim)
        case "rotary":
            # Of a head, not of the vector: each head is turned by the same angles.
            return RotaryPositions(dim // heads)


def _exact_sinusoids(
    embedded: Float[Tensor, "batch len dim"], width: int, start: int
) -> Float[Tensor, "len width"]:
    """A row for each vector, no less exact than float32: in bfloat16, 256 and 257 are the same angle."""
    exact = torch.promote_types(embedded.dtype, torch.float32)
    return sinusoids(embedded.shape[1], width, start=start, device=embedded.device, dtype=exact)
