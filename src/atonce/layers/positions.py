"""Where a position is in its sentence, as numbers that can be added to its embedding."""

import math

import torch
from torch import Tensor

from atonce.shapes import Float


def sinusoids(
    length: int, dim: int, *, start: int = 0, device: torch.device | None = None
) -> Float[Tensor, "length dim"]:
    """Sines in the first half of the dimensions, cosines in the second, of ever longer wave lengths.

    Vaswani 2017, section 3.5, with the two kinds side by side instead of interleaved: the same numbers
    in another order. `start` is the position of the first row.
    """
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10_000) / half))
    angles = torch.arange(start, start + length, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
