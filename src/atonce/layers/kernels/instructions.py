"""Loops over vectors, as LLVM's instructions: for what a compiler does not make of plain loops."""

from collections.abc import Callable
from typing import Any

import torch
from llvmlite import ir

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
