"""Loops that a compiler does not make of plain ones, as LLVM's instructions.

Two of them: rows by a tile of weights, both in eight bits; and a vector by a matrix, both of float32.

VNNI's `vpdpbusd` multiplies four neighbouring bytes by four others and adds the products to a sum of 32 bits,
in all lanes of a vector at once. Here a lane is an output, and its four weights are those of four inputs, a
quad. One factor must have no sign: the weights, to which `OFFSET` is added for that.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from atonce.fast.jit import compiled
from atonce.shapes import Int, UInt8

WIDE = bool(torch.cpu.get_capabilities().get("avx512_vnni"))
"""Whether vectors have 512 bits; else 256."""
LANES = 16 if WIDE else 8
"""Numbers of 32 bits in a vector."""

BYTES = 4
"""Of one of them."""

FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
NUMBERS, WHOLE_NUMBERS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT32, LANES)


class Writer:
    """Writes instructions behind what a function does so far."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def constant(self, number: int) -> Any:
        """A number of 64 bits."""
        return ir.Constant(INT64, number)

    def load(self, address: Any, kind: Any, place: Any) -> Any:
        """Number or vector `place` of those at an address."""
        there = self.builder.gep(self.builder.inttoptr(address, kind.as_pointer()), [place])
        return self.builder.load(there, align=4)

    def store(self, vector: Any, address: Any, place: int) -> None:
        """As vector `place` of those at an address."""
        there = self.builder.inttoptr(address, vector.type.as_pointer())
        # 4: of vectors that begin anywhere; said to be whole vectors' addresses, they would trap.
        self.builder.store(vector, self.builder.gep(there, [self.constant(place)]), align=4)

    def in_all_lanes(self, number: Any) -> Any:
        """A vector of one number."""
        vector = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
        one = self.builder.insert_element(vector, number, ir.Constant(INT32, 0))
        return self.builder.shuffle_vector(one, vector, ir.Constant(WHOLE_NUMBERS, [0] * LANES))

    def further(self, address: Any, apart: Any, rows: Any) -> Any:
        """The address so many rows further, which are `apart` bytes apart."""
        return self.builder.add(address, self.builder.mul(apart, rows))

    def summed(
        self, steps: Any, kind: Any, vectors: int, grow: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """A loop. So many vectors are zero before it, and after each step what `grow(step, vectors)` gives.

        `steps`: at least one. The vectors stay in registers.
        """
        builder, before = self.builder, self.builder.block
        loop, behind = builder.append_basic_block("loop"), builder.append_basic_block("behind")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, sums = builder.phi(INT64), [builder.phi(kind) for _ in range(vectors)]
        grown = grow(step, sums)
        following = builder.add(step, self.constant(1))
        step.add_incoming(self.constant(0), before)
        step.add_incoming(following, loop)
        for sum_, now in zip(sums, grown, strict=True):
            sum_.add_incoming(ir.Constant(kind, [0] * LANES), before)
            sum_.add_incoming(now, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, behind)
        builder.position_at_end(behind)
        return grown


VECTORS = 4 if WIDE else 2
"""Of a tile, held with sums of `ROWS` rows for each: as many as there are registers for."""
TILE = LANES * VECTORS
"""Outputs that are computed at once."""
ROWS = 4
QUAD = 4
OFFSET = 128

# A CPU with AVX-VNNI alone has no AVX-512, and knows the instruction in its VEX form only: "x" are the 16
# registers of that, "v" all 32. The sum goes in where it comes out ("0").
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
        # As assembly: what the compiler makes of plain loops over bytes is a quarter as fast. Operands stand
        # in AT&T's order: bytes with a sign, bytes without, sums.
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
                # The four levels of a quad, in every lane: each lane has its own output's weights for them.
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
                # `OFFSET` was added to every weight: taken off here as whole numbers, so nothing is rounded
                # by it. Scaling while the sums are in registers: 12 µs for 128 × 512 and 64 rows, 36 in a
                # loop behind.
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
    # Wider than a byte until `OFFSET` is added.
    filled = np.zeros((inputs + -inputs % QUAD, outputs + -outputs % TILE), np.int16)
    filled[:inputs, :outputs] = levels
    shaped = (filled + OFFSET).astype(np.uint8).reshape(-1, QUAD, filled.shape[1] // TILE, VECTORS, LANES)
    # In the order in which the loops pass: read from the first byte to the last.
    return np.ascontiguousarray(shaped.transpose(2, 0, 3, 4, 1)).reshape(-1)


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
