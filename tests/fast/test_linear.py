import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from atonce.fast.quantization import LEVELS, QuantizedLinear
from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast.instructions import ROWS, TILE  # noqa: E402
from atonce.fast.linear import multiply, workspace  # noqa: E402
from atonce.fast.weights import (  # noqa: E402
    START,
    linear_at,
    one_of,
    table_of,
)

sizes = st.integers(1, 9)


def compiled(layer: QuantizedLinear, inputs: np.ndarray) -> np.ndarray:
    outputs = np.full((len(inputs), len(layer.bias)), np.nan, np.float32)
    linear, _ = linear_at(one_of(table_of(layer), 0), START, inputs.shape[1], len(layer.bias))
    multiply(workspace(*inputs.shape), inputs, linear, outputs)
    return outputs


@given(st.integers(0, 1000), sizes, st.integers(1, 40), st.integers(1, 2 * TILE + 3))
def test_whole_numbers_are_multiplied_exactly(seed: int, rows: int, inputs: int, outputs: int) -> None:
    """With a level worth one, as the greatest of each row and of each output's weights is `LEVELS`."""
    draw = np.random.default_rng(seed)
    levels = draw.integers(-LEVELS, LEVELS + 1, (rows, inputs))
    weights = draw.integers(-LEVELS, LEVELS + 1, (outputs, inputs))
    levels[:, 0], weights[:, 0] = LEVELS, -LEVELS
    layer = QuantizedLinear(torch.from_numpy(weights).float())
    found = compiled(layer, levels.astype(np.float32))
    np.testing.assert_allclose(found, levels @ weights.T, rtol=1e-6, atol=1e-3)


@given(st.integers(0, 1000), sizes, st.integers(1, 40), st.integers(1, 2 * TILE + 3), st.floats(1e-3, 1e3))
def test_it_is_the_layer_in_eight_bits(seed: int, rows: int, inputs: int, outputs: int, size: float) -> None:
    torch.manual_seed(seed)
    layer = QuantizedLinear.of(nn.Linear(inputs, outputs))
    numbers = torch.randn(rows, inputs) * size
    numbers[0] = 0
    torch.testing.assert_close(torch.from_numpy(compiled(layer, numbers.numpy())), layer(numbers))


@given(st.integers(0, 1000), st.integers(1, 2 * ROWS))
def test_what_stands_beside_a_row_changes_nothing(seed: int, rows: int) -> None:
    """To the last bit: rows are computed several at a time, or one by one."""
    torch.manual_seed(seed)
    layer, numbers = QuantizedLinear.of(nn.Linear(24, TILE + 7)), torch.randn(rows, 24).numpy()
    together = compiled(layer, numbers)
    for row in range(rows):
        assert np.array_equal(compiled(layer, numbers[row : row + 1])[0], together[row])
