"""One vector for a whole sequence."""

from torch import Tensor

from atonce.shapes import Bool, Float


def mean_of_real(
    states: Float[Tensor, "batch len dim"], mask: Bool[Tensor, "batch len"]
) -> Float[Tensor, "batch dim"]:
    """The mean of each row's real positions. `mask`: True where a position is real."""
    real = mask[..., None].to(states.dtype)
    return (states * real).sum(1) / real.sum(1)
