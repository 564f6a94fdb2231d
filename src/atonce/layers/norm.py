"""Norms: vectors brought to one scale, so that many layers on top of one another can learn."""

from typing import Literal

from torch import nn

NormKind = Literal["layer", "rms"]

EPSILON = 1e-5
"""Added to the variance or the mean square, so that a vector of zeros stays finite."""


def build_norm(kind: NormKind, dim: int) -> nn.LayerNorm | nn.RMSNorm:
    """A norm of vectors of `dim` numbers.

    layer: less the mean, divided by the standard deviation, with a learned scale and shift (Ba 2016).
    rms: divided by the root of the mean square, with a learned scale (Zhang and Sennrich 2019, equation 4).
    """
    match kind:
        case "layer":
            return nn.LayerNorm(dim, eps=EPSILON)
        case "rms":
            return nn.RMSNorm(dim, eps=EPSILON)
