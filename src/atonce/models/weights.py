"""A model's weights by name, each once: a table that serves several ends has one name."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from atonce.errors import RunError, damaged


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now; copies, on the CPU."""
    # Copies also on a CPU, or a later update would change what was kept. `named_parameters` gives a tied
    # table once.
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.named_parameters()}


@torch.no_grad()
def set_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: Path) -> None:
    """Fill the model. Raises RunError if `weights`, read from `origin`, are not those of this model."""
    check_weights(model, weights, origin=origin)
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: Path) -> None:
    """Raise RunError unless these can be the weights of the model, as they are read from `origin`."""
    own = dict(model.named_parameters())
    # Both ways: a file with a weight too many is of another model as well.
    for name in sorted(own.keys() | weights.keys()):
        there, wanted = (
            f"{tuple(side[name].shape)} of {side[name].dtype}".replace("torch.", "")
            if name in side
            else "absent"
            for side in (weights, own)
        )
        if there != wanted:
            raise RunError(
                f"{origin} is damaged, or {_beside(origin)} beside it",
                why=f"{name} is {there} in the file and {wanted} in the model that is made by these",
                fix="restore them from a copy, or train again",
            )
    for name, weight in weights.items():
        # A sum takes little time, but that of finite numbers may not be finite.
        if not weight.sum().isfinite() and not weight.isfinite().all():
            raise damaged(
                origin,
                f"its weights {name} hold numbers that are not finite: they were changed, or its training "
                "went wrong",
            )


def _beside(origin: Path) -> str:
    """The files that say of what shape a model is."""
    *some, last = [
        name
        for name in ("tokenizer.model", "labels.json", "image.json", "recipe.toml")
        if name == "recipe.toml" or (origin.parent / name).exists()
    ]
    return f"{', '.join(some)} or {last}" if some else last
