import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from atonce.fast.quantization import LEVELS, QuantizedLinear, quantize_linear_layers
from atonce.layers.linear import ActivatedLinear

INPUTS, OUTPUTS = 24, 16


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(*, bias: bool = True, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(INPUTS, OUTPUTS, bias=bias)


@given(st.integers(0, 1000), st.booleans(), st.floats(1e-3, 1e3))
def test_it_is_the_layer_up_to_the_rounding(seed: int, bias: bool, size: float) -> None:
    """Each of the two factors of each summand is wrong by half a level at most."""
    layer = linear(bias=bias, seed=seed)
    inputs = drawn(2, 3, INPUTS, seed=seed) * size
    off = (QuantizedLinear.of(layer)(inputs) - layer(inputs)).abs()
    weight_level = layer.weight.abs().amax(1) / LEVELS
    input_level = inputs.abs().amax(-1, keepdim=True) / LEVELS
    bound = weight_level / 2 * inputs.abs().sum(-1, keepdim=True) + input_level / 2 * layer.weight.abs().sum(
        1
    )
    rounding_twice = INPUTS * weight_level / 2 * input_level / 2
    assert (off <= 1.001 * (bound + rounding_twice)).all()


def test_whole_numbers_within_the_levels_are_exact() -> None:
    layer = linear(bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-LEVELS, LEVELS + 1, layer.weight.shape))
        layer.weight[:, 0] = LEVELS
    inputs = torch.randint(-LEVELS, LEVELS + 1, (5, INPUTS)).float()
    inputs[:, 0] = -LEVELS
    torch.testing.assert_close(QuantizedLinear.of(layer)(inputs), layer(inputs), rtol=1e-5, atol=0)


def test_what_stands_beside_an_input_changes_nothing() -> None:
    layer = QuantizedLinear.of(linear())
    inputs = drawn(7, INPUTS)
    beside = torch.cat([inputs, 1000 * drawn(3, INPUTS, seed=1)])
    assert torch.equal(layer(beside)[:7], layer(inputs))
    assert torch.equal(layer(inputs[2:3]), layer(inputs)[2:3])


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_layer_of_few_inputs(inputs: int) -> None:
    layer = nn.Linear(inputs, OUTPUTS)
    numbers = drawn(3, inputs)
    torch.testing.assert_close(QuantizedLinear.of(layer)(numbers), layer(numbers), rtol=0.02, atol=0.02)


def test_nothing_in_gives_the_bias() -> None:
    layer = linear()
    torch.testing.assert_close(QuantizedLinear.of(layer)(torch.zeros(2, INPUTS)), layer.bias.expand(2, -1))


def test_joined_layers_give_their_outputs_one_after_the_other() -> None:
    layers = [QuantizedLinear.of(linear(seed=seed)) for seed in range(3)]
    inputs = drawn(4, INPUTS)
    assert torch.equal(
        QuantizedLinear.joined(layers)(inputs), torch.cat([layer(inputs) for layer in layers], dim=-1)
    )


@pytest.mark.parametrize("nonlinearity", ["relu", "gelu", "swish"])
def test_neurons_keep_their_nonlinearity(nonlinearity: str) -> None:
    torch.manual_seed(0)
    layer = ActivatedLinear(INPUTS, OUTPUTS, nonlinearity)  # type: ignore[arg-type]
    inputs = drawn(4, INPUTS)
    torch.testing.assert_close(QuantizedLinear.of(layer)(inputs), layer(inputs), atol=0.05, rtol=0.05)


def test_every_linear_layer_is_rounded_but_for_scores() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(ActivatedLinear(4, 8, "relu"), nn.Linear(8, 1)))
    quantize_linear_layers(module)
    kinds = [type(layer) for layer in module.modules() if not isinstance(layer, nn.Sequential)]
    assert kinds == [QuantizedLinear, QuantizedLinear, nn.Linear]
