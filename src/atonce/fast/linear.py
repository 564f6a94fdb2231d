"""Linear layers in eight bits: the numbers of `QuantizedLinear`, whose roundings are the same.

What is computed of a row does not depend on the rows beside it: sums of levels are exact.
"""

from typing import NamedTuple

import numpy as np

from atonce.fast.functions import f32
from atonce.fast.instructions import BYTES, OFFSET, QUAD, ROWS, TILE, tile_of_one, tile_of_rows
from atonce.fast.jit import compiled
from atonce.fast.quantization import LEAST, LEVELS
from atonce.fast.weights import Linear
from atonce.shapes import Float, Int

_LEVELS, _LEAST = f32(LEVELS), f32(LEAST)


class Workspace(NamedTuple):
    """Memory for one product after another."""

    levels: Int[np.ndarray, " bytes"]
    """For the widest rows there are."""
    peaks: Float[np.ndarray, " rows"]
    """The greatest size of a number of each row: what `LEVELS` levels are worth."""
    too_much: Int[np.ndarray, " rows"]
    """What `OFFSET` adds to the sums of each row."""
    outputs: Float[np.ndarray, "ROWS TILE"]
    """Of a tile that is not whole."""


@compiled
def workspace(rows: int, widest: int) -> Workspace:
    """Memory for products of so many rows of so many inputs."""
    return Workspace(
        np.empty(rows * (widest + QUAD), np.int8),
        np.empty(rows, np.float32),
        np.empty(rows, np.int32),
        np.empty((ROWS, TILE), np.float32),
    )


@compiled
def multiply(
    workspace: Workspace,
    inputs: Float[np.ndarray, "rows inputs"],
    linear: Linear,
    outputs: Float[np.ndarray, "rows outputs"],
) -> None:
    """Write what the linear layer makes of the inputs to `outputs`."""
    rows, width = inputs.shape
    # Filled up with levels of zero to whole quads: whatever weight is there adds nothing.
    apart = width + -width % QUAD
    levels = workspace.levels[: rows * apart].reshape(rows, apart)
    for row in range(rows):
        workspace.peaks[row], total = _round(inputs[row], levels[row])
        workspace.too_much[row] = total * OFFSET
    # Tiles outside: weights, which are the most, come from memory once for all rows.
    for tile in range(len(linear.tiles)):
        first = tile * TILE
        if first + TILE <= outputs.shape[1]:
            _multiply_tile(workspace, levels, linear, tile, 0, rows, outputs[:, first:])
        else:
            # A whole tile is written, which would run over into the next row: by way of memory of its own.
            for row in range(0, rows, ROWS):
                last = min(row + ROWS, rows)
                _multiply_tile(workspace, levels, linear, tile, row, last, workspace.outputs)
                outputs[row:last, first:] = workspace.outputs[: last - row, : outputs.shape[1] - first]


@compiled
def _multiply_tile(
    workspace: Workspace, levels: Int[np.ndarray, "rows inputs"], linear: Linear, tile: int, first: int,
    last: int, outputs: Float[np.ndarray, "some outputs"],
) -> None:  # fmt: skip
    """Write a tile's outputs of rows `first` to `last` to where `outputs` begins."""
    weights, place = linear.tiles[tile].ctypes.data, tile * TILE * BYTES
    scales, biases = linear.scale.ctypes.data + place, linear.bias.ctypes.data + place
    apart, outputs_apart = levels.shape[1], outputs.strides[0]
    row = first
    while row < last:
        of_row = (
            weights, scales, biases, levels.ctypes.data + row * apart,
            workspace.too_much.ctypes.data + row * BYTES, workspace.peaks.ctypes.data + row * BYTES,
            outputs.ctypes.data + (row - first) * outputs_apart, apart, outputs_apart, apart // QUAD,
        )  # fmt: skip
        if last - row >= ROWS:
            tile_of_rows(*of_row)
            row += ROWS
        else:
            tile_of_one(*of_row)
            row += 1


@compiled
def _round(
    numbers: Float[np.ndarray, " inputs"], levels: Int[np.ndarray, " filled"]
) -> tuple[np.float32, np.int32]:
    """Write the nearest levels, and zeros behind them. Returns the greatest size, and the sum of levels."""
    top = np.int32(0)
    for i in range(len(numbers)):  # bits of numbers that are not negative are in the same order as these
        top = max(top, np.float32(abs(numbers[i])).view(np.int32))
    peak = max(np.int32(top).view(np.float32), _LEAST)
    by, total = _LEVELS / peak, np.int32(0)
    for i in range(len(numbers)):
        # Halves to the even number, as `torch.round`: the levels are those of `QuantizedLinear`.
        level = np.int32(np.rint(numbers[i] * by))
        levels[i] = level
        total += level
    for i in range(len(numbers), len(levels)):
        levels[i] = 0
    return peak, total
