"""The nonlinear neuron: a weighted sum of what it sees and a bias, through a nonlinearity."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from atonce.shapes import Float

Nonlinearity = Literal["relu", "gelu", "swish"]

_FUNCTIONS: dict[Nonlinearity, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
}


class ActivatedLinear(nn.Linear):
    """Neurons side by side that see the same inputs: nonlinearity(W x + b).

    Row i of `weight` and entry i of `bias` are those of neuron i. Without the nonlinearity, layers on top of
    one another would be no more than one: a product of matrices is a matrix.

    relu: max(0, z) (Nair and Hinton 2010); gelu: z Φ(z), with the normal distribution's Φ (Hendrycks and
    Gimpel 2016, exact); swish: z σ(z), with the logistic σ (Ramachandran 2017; Elfwing 2018 calls it SiLU).
    """

    def __init__(self, inputs: int, neurons: int, nonlinearity: Nonlinearity) -> None:
        super().__init__(inputs, neurons)
        self.nonlinearity: Nonlinearity = nonlinearity

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch neurons"]:
        """What each neuron makes of the inputs."""
        return nonlinearity(self.nonlinearity)(super().forward(inputs))

    def extra_repr(self) -> str:
        """The sizes, and the nonlinearity: for `print`."""
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity}"


def nonlinearity(name: Nonlinearity) -> Callable[[Tensor], Tensor]:
    """The function of that name."""
    return _FUNCTIONS[name]
