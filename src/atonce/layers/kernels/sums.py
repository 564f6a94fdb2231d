"""A vector times a matrix, both of float32: rows, each times its factor, added up."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from atonce.layers.kernels.instructions import BYTES, FLOAT, LANES, NUMBERS, Writer
from atonce.layers.kernels.jit import compiled


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
def add_rows(factors: int, rows: int, apart: int, count: int, outputs: int, width: int) -> None:
    """Write the sum of `count` rows, at least one, each times its factor. `width`: whole vectors.

    Addresses, and how many bytes rows are apart: to cut arrays out of arrays takes longer than to add up.
    """
    for first in range(0, width, LANES):
        place = first * BYTES
        _lanes_of_sum(factors, rows + place, apart, count, outputs + place)
