"""Vectors of 256 bits, on a CPU that has wider ones: what most laptops have."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast.instructions import LANES, add_rows  # noqa: E402

PROGRAM = """
import torch
able = dict(torch.cpu.get_capabilities())
torch.cpu.get_capabilities = lambda: able | {"avx512_vnni": False}

import numpy as np
from atonce.fast.quantization import QuantizedLinear
from atonce.fast.instructions import LANES
from atonce.fast.weights import START, linear_at, one_of
from atonce.fast.weights import table_of
from atonce.fast.linear import workspace, multiply
from atonce.fast.instructions import add_rows

torch.manual_seed(0)
layer, inputs = QuantizedLinear(torch.randn(43, 21), torch.randn(43)), torch.randn(7, 21)
outputs = np.empty((7, 43), np.float32)
linear, _ = linear_at(one_of(table_of(layer), 0), START, 21, 43)
multiply(workspace(7, 21), inputs.numpy(), linear, outputs)
torch.testing.assert_close(torch.from_numpy(outputs), layer(inputs))
summed, factors = np.empty(16, np.float32), inputs[:, 0].numpy().copy()
add_rows(factors.ctypes.data, inputs.data_ptr(), 4 * 21, 7, summed.ctypes.data, 16)
torch.testing.assert_close(torch.from_numpy(summed), inputs[:, 0] @ inputs[:, :16])
print(LANES)
"""


@pytest.mark.skipif(not torch.cpu.get_capabilities().get("avx_vnni"), reason="needs AVX-VNNI")
def test_narrow_vectors_give_the_same(tmp_path: Path) -> None:
    """What is compiled for them is kept apart: numba goes by what the CPU is."""
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "8"


@given(st.integers(0, 1000), st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
def test_a_vector_times_the_first_columns_of_a_matrix(seed: int, rows: int, vectors: int, more: int) -> None:
    draw, width = np.random.default_rng(seed), vectors * LANES
    factors, matrix = (draw.normal(size=shape).astype(np.float32) for shape in (rows, (rows, width + more)))
    outputs = np.empty(width, np.float32)
    add_rows(factors.ctypes.data, matrix.ctypes.data, matrix.strides[0], rows, outputs.ctypes.data, width)
    np.testing.assert_allclose(outputs, factors @ matrix[:, :width], rtol=1e-4, atol=1e-5)
