import math
from typing import get_args

import pytest
import torch

from atonce.layers.linear import ActivatedLinear, Nonlinearity

BY_THE_PAPERS = {
    "relu": lambda z: max(0.0, z),
    "gelu": lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2,
    "swish": lambda z: z / (1 + math.exp(-z)),
}


@pytest.mark.parametrize("nonlinearity", get_args(Nonlinearity))
def test_a_neuron_is_a_weighted_sum_and_a_bias_through_a_nonlinearity(nonlinearity: Nonlinearity) -> None:
    torch.manual_seed(0)
    layer = ActivatedLinear(3, 4, nonlinearity).double()
    inputs = torch.randn(2, 5, 3, dtype=torch.float64)
    outputs = layer(inputs)
    assert outputs.shape == (2, 5, 4)
    for seen, made in zip(inputs.view(-1, 3).tolist(), outputs.view(-1, 4).tolist(), strict=True):
        for weights, bias, one in zip(layer.weight.tolist(), layer.bias.tolist(), made, strict=True):
            z = sum(weight * x for weight, x in zip(weights, seen, strict=True)) + bias
            assert one == pytest.approx(BY_THE_PAPERS[nonlinearity](z), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("nonlinearity", get_args(Nonlinearity))
def test_two_layers_are_more_than_one(nonlinearity: Nonlinearity) -> None:
    """A weighted sum alone would make of the mean of two inputs the mean of what it makes of each."""
    torch.manual_seed(0)
    layer = ActivatedLinear(3, 4, nonlinearity).double()
    one, other = torch.tensor([[9.0, 9.0, 9.0], [-9.0, -9.0, -9.0]], dtype=torch.float64)
    assert not torch.isclose(layer((one + other) / 2), (layer(one) + layer(other)) / 2).any()


def test_a_layer_says_what_it_is() -> None:
    assert repr(ActivatedLinear(3, 4, "gelu")).endswith("nonlinearity=gelu)")
