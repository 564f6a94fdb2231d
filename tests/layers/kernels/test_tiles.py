"""Vectors of 256 bits, on a CPU that has wider ones: what most laptops have."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compiling import kernels_or_skip

kernels_or_skip()

PROGRAM = """
import torch
able = dict(torch.cpu.get_capabilities())
torch.cpu.get_capabilities = lambda: able | {"avx512_vnni": False}

import numpy as np
from atonce.layers.eight_bits import EightBitLinear
from atonce.layers.kernels.instructions import LANES
from atonce.layers.kernels.packed import START, linear_at, one_of
from atonce.layers.kernels.packing import table_of
from atonce.layers.kernels.products import desk, multiply
from atonce.layers.kernels.sums import add_rows

torch.manual_seed(0)
layer, inputs = EightBitLinear(torch.randn(43, 21), torch.randn(43)), torch.randn(7, 21)
outputs = np.empty((7, 43), np.float32)
linear, _ = linear_at(one_of(table_of(layer), 0), START, 21, 43)
multiply(desk(7, 21), inputs.numpy(), linear, outputs)
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
