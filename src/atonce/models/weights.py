"""A model's weights by name, each once: a table that serves several ends has one name."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from atonce.errors import RunError


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now; copies, on the CPU."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.named_parameters()}


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: Path) -> None:
    """Fill the model. Raises RunError if `weights`, read from `origin`, are not those of this model."""
    own = dict(model.named_parameters())
    for name in sorted(own.keys() | weights.keys()):
        there = tuple(weights[name].shape) if name in weights else "absent"
        wanted = tuple(own[name].shape) if name in own else "absent"
        if there != wanted:
            raise RunError(
                f"{origin} is damaged",
                why=f"{name} is {there} in the file and {wanted} in the recipe's model",
                fix="restore the file from a copy, or train again",
            )
    for name, parameter in own.items():
        parameter.copy_(weights[name])
