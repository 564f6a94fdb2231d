import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from atonce.layers.transformer import build_norm
from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast import functions  # noqa: E402
from atonce.fast.weights import norm_of  # noqa: E402

floats = st.floats(-50, 50, width=32)
tables = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=floats)


@given(st.floats(-87, 88, width=32))
def test_exponentials(x: float) -> None:
    assert functions.exp(np.float32(x)) == pytest.approx(math.exp(x), rel=5e-7)


@given(tables)
def test_nonlinearities(numbers: np.ndarray) -> None:
    tensor = torch.from_numpy(numbers.copy())
    for kernel, plain in ((functions.relu, F.relu), (functions.gelu, F.gelu)):
        found = numbers.copy()
        kernel(found)
        torch.testing.assert_close(torch.from_numpy(found), plain(tensor), rtol=1e-5, atol=1e-5)
    both = np.concatenate([numbers, numbers[:, ::-1]], axis=1)
    gated = np.empty_like(numbers)
    functions.swiglu(both, gated)
    torch.testing.assert_close(torch.from_numpy(gated), F.silu(tensor) * tensor.flip(1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_norms(kind: str) -> None:
    torch.manual_seed(0)
    norm = build_norm(kind, 20)  # type: ignore[arg-type]
    for weight in norm.parameters():
        nn.init.normal_(weight)
    states = torch.randn(5, 20) * 3 + 1
    states[2] = 0
    found = np.empty((5, 20), np.float32)
    functions.normed(states.numpy(), norm_of(norm), int(kind == "rms"), found)
    torch.testing.assert_close(torch.from_numpy(found), norm(states).detach())
    in_place = states.numpy().copy()
    functions.normed(in_place, norm_of(norm), int(kind == "rms"), in_place)
    assert np.array_equal(in_place, found)


def test_sums_of_vectors() -> None:
    states, more = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    functions.add(states, more)
    assert np.array_equal(states, np.arange(1, 7).reshape(2, 3))
