"""A vector times a matrix, both of float32: rows, each times its factor, added up."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from atonce.layers.kernels.compiled import compiled
from atonce.layers.kernels.instructions import FLOAT, LANES, NUMBERS, Writer
from atonce.shapes import Float


def _typed(context, factors, rows, apart, count, outputs):  # type: ignore[no-untyped-def]
    """`LANES` numbers of the sum of `count` rows, each times its factor.

    Addresses of the factors, of the first row's numbers and of the sum's; how many bytes rows are apart.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factors, rows, apart, count, outputs = arguments
        write = Writer(builder)

        def grow(row: Any, sums: list[Any]) -> list[Any]:
            numbers = write.load(write.further(rows, apart, row), NUMBERS, write.constant(0))
            factor = write.in_all_lanes(write.load(factors, FLOAT, row))
            return [builder.fadd(sums[0], builder.fmul(numbers, factor))]

        write.store(write.summed(count, NUMBERS, 1, grow)[0], outputs, 0)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), emit


_lanes_of_sum: Any = intrinsic(_typed)


@compiled
def add_rows(
    factors: Float[np.ndarray, " rows"],
    rows: Float[np.ndarray, "rows width"],
    outputs: Float[np.ndarray, " columns"],
) -> None:
    """Write the first columns of the sum of the rows, each times its factor. There is one row at least."""
    whole = len(outputs) - len(outputs) % LANES
    for first in range(0, whole, LANES):
        place = first * 4
        _lanes_of_sum(
            factors.ctypes.data, rows.ctypes.data + place, rows.strides[0], len(factors),
            outputs.ctypes.data + place,
        )  # fmt: skip
    for i in range(whole, len(outputs)):
        total = np.float32(0)
        for row in range(len(factors)):
            total += factors[row] * rows[row, i]
        outputs[i] = total
