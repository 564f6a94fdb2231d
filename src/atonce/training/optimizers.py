"""How weights are updated: which optimizer has which, how fast, and what is averaged over the updates."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from atonce.layers.convolution import GatedConvolution
from atonce.models.seq2seq import Seq2Seq
from atonce.runs.recipe import TrainingConfig
from atonce.training.muon import Blocks, Muon

Schedule = Literal["linear", "cosine", "inverse_sqrt", "constant"]

GATES: dict[type[nn.Module], int] = {nn.GRU: 3, nn.LSTM: 4, GatedConvolution: 2}
"""How many matrices are stacked in each weight of a layer, where it is more than one."""


def build_optimizers(model: Seq2Seq, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW for every weight, or Muon for the matrices and AdamW for the rest. `lr` is each one's peak."""
    matrices = hidden_matrices(model) if config.optimizer == "muon" else []
    by_muon = {id(parameter) for parameter, _ in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in by_muon]
    # 0.98, not AdamW's 0.999: squares are averaged over 50 updates, not 1,000, of which a short training has
    # few (Vaswani 2017, section 5.3).
    adamw = torch.optim.AdamW(
        rest, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    if not matrices:
        return [adamw]
    return [Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay), adamw]


def hidden_matrices(model: Seq2Seq) -> list[Blocks]:
    """What maps hidden states to hidden states: weights of linear and recurrent layers and convolutions.

    Not tables, whose rows are vectors of tokens or positions, each learned for itself.
    """
    gates = {
        id(weight): GATES[type(module)]
        for module in model.modules()
        if type(module) in GATES
        for weight in module.parameters()
    }
    return [
        (weight, gates.get(id(weight), 1))
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.RNNBase | nn.Conv2d)
        for weight in module.parameters()
        # A single row or column has one direction only: there is nothing to make orthogonal.
        if weight.ndim > 1 and min(weight.flatten(1).shape) > 1
    ]


def rate_factor(step: int, *, schedule: Schedule, warmup: int, steps: int | float | None) -> float:
    """The share of the peak rate to learn with at `step`, counted from 1.

    It rises in a line over `warmup` steps (a tenth of `steps` at most), then falls:
    `linear` and `cosine` to zero after `steps`, `inverse_sqrt` with the root of the step (Vaswani 2017,
    equation 3), `constant` not at all. While `steps` is not known yet, it does not fall.

    Where time is what is given, `steps` is what all of it holds at the mean speed so far (`training.budget`):
    then `step / (steps + 1)` is the share of the time that is used, whatever the speed was.
    """
    # A short training must not be all warm-up.
    rise = warmup if steps is None else min(warmup, steps // 10)
    if step <= rise:
        return step / rise
    if schedule == "inverse_sqrt":
        return math.sqrt(max(rise, 1) / step)
    if schedule == "constant" or steps is None:
        return 1.0
    left = max(0.0, (steps + 1 - step) / (steps + 1 - rise))
    return left if schedule == "linear" else (1 - math.cos(math.pi * left)) / 2


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak 1992).

    Early on it averages over about the last tenth of the steps, so that it never lags behind the beginning.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after one more step."""
        self.updates += 1
        # The warm-up of TensorFlow's ExponentialMovingAverage: with 0.99 from the start, the random weights
        # that it began with would weigh a third after 100 updates.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = [weight.detach() for weight in model.parameters()]
        # One call for all weights: there are hundreds, most of them small.
        torch._foreach_lerp_(list(self.weights.values()), now, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the average with the model's weights; a second call puts them back."""
        for name, weight in model.named_parameters():
            kept: Tensor = weight.detach().clone()
            weight.copy_(self.weights[name])  # in place: the optimizers hold these very tensors
            self.weights[name].copy_(kept)

    @contextmanager
    def in_place_of_weights(self, model: nn.Module) -> Iterator[None]:
        """Within the block, the model has the average for weights."""
        self.swap(model)
        try:
            yield
        finally:
            self.swap(model)
