import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compiling import kernels_or_skip

kernels_or_skip()

from atonce.layers.kernels.instructions import LANES  # noqa: E402
from atonce.layers.kernels.sums import add_rows  # noqa: E402


@given(st.integers(0, 1000), st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
def test_a_vector_times_the_first_columns_of_a_matrix(seed: int, rows: int, vectors: int, more: int) -> None:
    draw, width = np.random.default_rng(seed), vectors * LANES
    factors, matrix = (draw.normal(size=shape).astype(np.float32) for shape in (rows, (rows, width + more)))
    outputs = np.empty(width, np.float32)
    add_rows(factors.ctypes.data, matrix.ctypes.data, matrix.strides[0], rows, outputs.ctypes.data, width)
    np.testing.assert_allclose(outputs, factors @ matrix[:, :width], rtol=1e-4, atol=1e-5)
