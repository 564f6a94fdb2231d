"""A few rows by a tile of weights, both in eight bits.

VNNI's `vpdpbusd` multiplies four neighbouring bytes by four others and adds the products to a sum of 32 bits,
in all lanes of a vector at once. Here a lane is an output, and its four weights are those of four inputs, a
quad. One factor must have no sign: the weights, to which `OFFSET` is added for that.
"""

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from atonce.layers.kernels.instructions import FLOAT, INT32, LANES, NUMBERS, WHOLE_NUMBERS, WIDE, Writer
from atonce.shapes import Int, UInt8

VECTORS = 4 if WIDE else 2
"""Of a tile, held with sums of `ROWS` rows for each: as many as there are registers for."""
TILE = LANES * VECTORS
"""Outputs that are computed at once."""
ROWS = 4
QUAD = 4
OFFSET = 128

_MULTIPLY, _REGISTERS = ("", "=v,v,v,0") if WIDE else ("{vex} ", "=x,x,x,0")

llvmlite.binding.initialize_native_asmparser()  # numba itself writes no assembly


def _tile_of(rows: int) -> Any:
    """The outputs of a tile for so many rows: a loop over quads, unrolled over rows and vectors.

    Its arguments are numbers. Addresses: of the tile's weights `[quads, VECTORS, LANES, QUAD]`, its scales
    and its biases `[TILE]`; of the first row's levels; of what is taken off each row's sums, and of what they
    are multiplied by; of the first row's outputs. Then bytes from one row's levels to the next, and from its
    outputs to the next; and quads.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, scales, biases, levels, too_much, peaks, outputs, *apart, quads = arguments
        levels_apart, outputs_apart = apart
        write = Writer(builder)
        multiply = ir.InlineAsm(
            ir.FunctionType(WHOLE_NUMBERS, [WHOLE_NUMBERS] * 3), f"{_MULTIPLY}vpdpbusd $2, $1, $0", _REGISTERS
        )

        def grow(quad: Any, sums: list[Any]) -> list[Any]:
            first = builder.mul(quad, write.constant(VECTORS))
            held = [
                write.load(weights, WHOLE_NUMBERS, builder.add(first, write.constant(vector)))
                for vector in range(VECTORS)
            ]
            grown = []
            for row in range(rows):
                mine = write.further(levels, levels_apart, write.constant(row))
                four = write.in_all_lanes(write.load(mine, INT32, quad))
                of_row = sums[row * VECTORS : (row + 1) * VECTORS]
                grown += [
                    builder.call(multiply, [one, four, sum_]) for one, sum_ in zip(held, of_row, strict=True)
                ]
            return grown

        sums = write.summed(quads, WHOLE_NUMBERS, rows * VECTORS, grow)
        for vector in range(VECTORS):
            scale, bias = (write.load(all_, NUMBERS, write.constant(vector)) for all_ in (scales, biases))
            for row in range(rows):
                less = write.in_all_lanes(write.load(too_much, INT32, write.constant(row)))
                peak = write.in_all_lanes(write.load(peaks, FLOAT, write.constant(row)))
                exact = builder.sitofp(builder.sub(sums[row * VECTORS + vector], less), NUMBERS)
                number = builder.fadd(builder.fmul(builder.fmul(exact, peak), scale), bias)
                write.store(number, write.further(outputs, outputs_apart, write.constant(row)), vector)
        return context.get_dummy_value()

    def typed(  # type: ignore[no-untyped-def]
        context, weights, scales, biases, levels, too_much, peaks, outputs, levels_apart, outputs_apart, quads
    ):
        return types.void(*[types.int64] * 10), emit

    return intrinsic(typed)


tile_of_one = _tile_of(1)
tile_of_rows = _tile_of(ROWS)


def in_tiles(levels: Int[np.ndarray, "inputs outputs"]) -> UInt8[np.ndarray, " bytes"]:
    """Weights from -127 to 127 as tiles `[tiles, quads, VECTORS, LANES, QUAD]`, one after another.

    Inputs and outputs that fill up a quad or a tile have weights of zero.
    """
    inputs, outputs = levels.shape
    filled = np.zeros((inputs + -inputs % QUAD, outputs + -outputs % TILE), np.int16)
    filled[:inputs, :outputs] = levels
    shaped = (filled + OFFSET).astype(np.uint8).reshape(-1, QUAD, filled.shape[1] // TILE, VECTORS, LANES)
    return np.ascontiguousarray(shaped.transpose(2, 0, 3, 4, 1)).reshape(-1)
