"""How wide a model must be to have as many weights as another: so that architectures meet on equal terms."""

import math
from typing import Any

import torch

from atonce.errors import RecipeError
from atonce.models.build import build_model
from atonce.models.config import ModelConfig

TOLERANCE = 0.05
"""How far, as a share, a count of weights may be from the one that is wanted."""


def weight_count(model: ModelConfig, vocab: int) -> int:
    """How many numbers the model learns with a vocabulary of `vocab` tokens. No memory is taken for them."""
    # Counted by building it, so that no formula can forget a weight.
    with torch.device("meta"):
        return build_model(model, vocab).weight_count


def with_weights(model: ModelConfig, wanted: int, vocab: int) -> ModelConfig:
    """The model in the width whose count of weights is nearest to `wanted`; all else but the width stays.

    The hidden layers of feed-forward parts grow with the width, and heads divide it.
    Raises RecipeError if no width comes within 5 % of `wanted`.
    """
    unit = width_unit(model)

    def at(units: int) -> int:
        return weight_count(with_width(model, units * unit), vocab)

    # The count rises with the width: double until there are enough, then halve what lies between.
    most = 1
    while at(most) < wanted:
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if at(middle) < wanted else (least, middle)
    units = min((units for units in (least, most) if units), key=lambda units: abs(at(units) - wanted))
    if abs(at(units) - wanted) > TOLERANCE * wanted:
        raise RecipeError(
            f"no width gives {_named(model)} {wanted:,} weights",
            why=f"the nearest is {at(units):,}, with a dim of {units * unit}: more than {TOLERANCE:.0%} away",
            fix="ask for more weights, or for a smaller vocabulary",
        )
    return with_width(model, units * unit)


def with_width(model: ModelConfig, dim: int) -> ModelConfig:
    """The model `dim` wide, its feed-forward parts scaled along."""
    values = model.model_dump()
    sides = {side: _scaled(values[side], dim / model.dim) for side in ("encoder", "decoder")}
    return ModelConfig.parse({**values, "dim": dim, **sides}, origin=f"the model in width {dim}")


def _scaled(side: dict[str, Any], factor: float) -> dict[str, Any]:
    if "feed_forward" not in side:
        return side
    # In proportion, or a wide model would be one of thin feed-forward parts: another architecture.
    return {**side, "feed_forward": max(1, round(side["feed_forward"] * factor))}


def width_unit(model: ModelConfig) -> int:
    """What every width of this model is a multiple of."""
    # 2: `ModelConfig.dim` is even.
    return math.lcm(2, *(_heads(side.model_dump()) for side in (model.encoder, model.decoder)))


def _heads(side: dict[str, Any]) -> int:
    """What one side wants the width to be a multiple of; rotary positions turn pairs of a head's numbers."""
    return int(side.get("heads", 1)) * (2 if side.get("positions") == "rotary" else 1)


def _named(model: ModelConfig) -> str:
    return f"a {model.encoder.kind} encoder with a {model.decoder.kind} decoder"
