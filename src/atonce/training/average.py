"""A running average of the weights: steadier than the last step's, and better."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), now, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the average with the model's weights; a second call puts them back."""
        for name, weight in model.named_parameters():
            kept: Tensor = weight.detach().clone()
            weight.copy_(self.weights[name])
            self.weights[name].copy_(kept)

    @contextmanager
    def in_place_of_weights(self, model: nn.Module) -> Iterator[None]:
        """Within the block, the model has the average for weights."""
        self.swap(model)
        try:
            yield
        finally:
            self.swap(model)
