"""Transformers in eight bits as compiled loops, for generation on a CPU. Needs numba.

A step of one sentence is some eighty operations on vectors; called one by one, what surrounds them takes
most of the time. Here a step is one function. Rows (beginnings of sentences, or positions that are read) do
not wait for one another: each part of them goes through all blocks on its own, on whatever thread is free.

    jit           the decorator of all that is compiled, and where compiled code is kept
    instructions  what is written for the machine itself: loops over vectors
    tiles, sums   the two such loops: rows in eight bits by a tile of weights; a vector by a matrix
    packed        weights of blocks, in the order in which they are used; packing: of modules
    functions     norms, nonlinearities, sums of vectors
    products      linear layers: rows rounded, multiplied, scaled
    seen          keys and values, and which of them a row may look at
    attention     one row
    parts         parts of a block; decoder, encoder: blocks
    choice        scores of all pieces, and the best of them
    threads       batches and rows dealt out

Importing this package is free; its modules import numba.
"""

from functools import cache

from atonce.layers.eight_bits import can_multiply_eight_bits


@cache
def can_be_used() -> bool:
    """Whether this CPU has instructions for products in eight bits, and numba can be imported."""
    if not can_multiply_eight_bits():
        return False
    try:
        import numba  # which refuses versions of numpy that it does not know
        import threadpoolctl  # noqa: F401
    except ImportError:
        return False
    return bool(numba.__version__)
