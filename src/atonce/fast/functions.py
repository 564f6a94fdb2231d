"""What is done to vectors beside products: norms, nonlinearities, sums; each row by itself."""

import numpy as np

from atonce.fast.jit import compiled
from atonce.fast.weights import Norm
from atonce.layers.transformer import EPSILON
from atonce.shapes import Float

# Numbers as Python writes them have 64 bits for numba, and all that meets them would have, too.
f32 = np.float32

_EPSILON = f32(EPSILON)
# ln 2 in two parts, the first of few bits: n times it is exact, so `rest` in `exp` keeps its digits.
_OVER_LN2, _LN2, _LN2_REST = f32(1.44269504), f32(0.693359375), f32(-2.12194440e-4)


@compiled
def normed(
    states: Float[np.ndarray, "rows dim"], norm: Norm, rms: int, outputs: Float[np.ndarray, "rows dim"]
) -> None:
    """Write normed states to `outputs`, which may be the states themselves: see `transformer.build_norm`."""
    dim = states.shape[1]
    share = f32(1) / f32(dim)
    for row in range(len(states)):
        mean = f32(0)
        if not rms:
            for i in range(dim):
                mean += states[row, i]
            mean *= share
        # In a second round: mean of squares less square of the mean loses digits where the two are close.
        square = f32(0)
        for i in range(dim):
            square += (states[row, i] - mean) * (states[row, i] - mean)
        by = f32(1) / np.sqrt(square * share + _EPSILON)
        for i in range(dim):
            outputs[row, i] = (states[row, i] - mean) * by * norm.weight[i] + norm.bias[i]


@compiled
def add(states: Float[np.ndarray, "rows dim"], more: Float[np.ndarray, "rows dim"]) -> None:
    """Add `more` to the states."""
    for row in range(states.shape[0]):
        for i in range(states.shape[1]):
            states[row, i] += more[row, i]


@compiled
def relu(numbers: Float[np.ndarray, "rows width"]) -> None:
    """max(0, z) of each number, in place."""
    for row in range(numbers.shape[0]):
        for i in range(numbers.shape[1]):
            numbers[row, i] = max(numbers[row, i], f32(0))


@compiled
def gelu(numbers: Float[np.ndarray, "rows width"]) -> None:
    """z Φ(z) of each number, in place, up to 1e-6 (error function: Abramowitz and Stegun 1964, 7.1.26)."""
    for row in range(numbers.shape[0]):
        for i in range(numbers.shape[1]):
            z = numbers[row, i]
            x = abs(z) * f32(0.70710678)
            t = f32(1) / (f32(1) + f32(0.3275911) * x)
            series = f32(1.061405429) * t + f32(-1.453152027)
            series = (series * t + f32(1.421413741)) * t + f32(-0.284496736)
            beyond = (series * t + f32(0.254829592)) * t * exp(-x * x)  # 1 - erf(x)
            numbers[row, i] = f32(0.5) * z * (f32(2) - beyond if z > 0 else beyond)


@compiled
def swiglu(numbers: Float[np.ndarray, "rows both"], outputs: Float[np.ndarray, "rows width"]) -> None:
    """z σ(z) of each number of the first half, times its factor in the second, to `outputs`."""
    width = outputs.shape[1]
    for row in range(outputs.shape[0]):
        for i in range(width):
            z = numbers[row, i]
            outputs[row, i] = z / (f32(1) + exp(-z)) * numbers[row, width + i]


@compiled
def exp(x: np.float32) -> np.float32:
    """e^x up to 2e-7 of it; as if x were -87 or 88, at least or at most.

    2^n times a polynomial of the rest (Cephes, `expf`). The compiler computes many of them at once, which it
    does not with the library's.
    """
    # Within these bounds 2^n is a normal float32, and its bits can be written down.
    x = min(max(x, f32(-87)), f32(88))
    n = np.floor(x * _OVER_LN2 + f32(0.5))
    rest = x - n * _LN2 - n * _LN2_REST
    series = f32(1.9875691500e-4) * rest + f32(1.3981999507e-3)
    series = (series * rest + f32(8.3334519073e-3)) * rest + f32(4.1665795894e-2)
    series = (series * rest + f32(1.6666665459e-1)) * rest + f32(5.0000001201e-1)
    series = series * rest * rest + rest + f32(1)
    # The exponent of a float32 is stored with 127 added, above 23 bits of fraction.
    power = (np.int32(n) + np.int32(127)) << np.int32(23)
    return series * np.int32(power).view(np.float32)
