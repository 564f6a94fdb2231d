"""The nonlinear neuron: a weighted sum of what it sees and a bias, through a nonlinearity.

In generation such layers, and linear ones, are plain functions.
"""

from collections.abc import Callable
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.shapes import Float

Function = Callable[[Tensor], Tensor]
Nonlinearity = Literal["relu", "gelu", "swish"]

_FUNCTIONS: dict[Nonlinearity, Function] = {
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


def nonlinearity(name: Nonlinearity) -> Function:
    """The function of that name."""
    return _FUNCTIONS[name]


class Joining(Protocol):
    """What stands in for an `nn.Linear`, such as a layer in eight bits (`atonce.fast`)."""

    @classmethod
    def joined(cls, layers: "list[Joining]") -> "Joining":
        """Several that see the same inputs, as one: their outputs one after the other."""
        ...

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """What it makes of the inputs."""
        ...


def fused(*layers: nn.Module) -> Function:
    """Linear layers that see the same inputs, as one function; or one layer of neurons."""
    # Not an `nn.Linear` means in eight bits, by the contract of `Joining`: this folder does not know
    # `atonce.fast`.
    first = layers[0]
    if not isinstance(first, nn.Linear):
        others = cast(list[Joining], list(layers))
        return others[0].forward if len(others) == 1 else others[0].joined(others).forward
    linear = cast(list[nn.Linear], list(layers))
    weight, bias = _joined([one.weight for one in linear]), _joined([one.bias for one in linear])
    if isinstance(first, ActivatedLinear):
        # In place: nobody else has what the product gave.
        activate = F.relu_ if first.nonlinearity == "relu" else nonlinearity(first.nonlinearity)
        return lambda states: activate(F.linear(states, weight, bias))
    return lambda states: F.linear(states, weight, bias)


def _joined(tensors: list[Float[Tensor, "outputs ..."]]) -> Float[Tensor, "all_outputs ..."]:
    """One after the other. One alone is not copied: all weights are megabytes, laid out for each search."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
