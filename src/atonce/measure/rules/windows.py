"""Pooling, unfolding and resizing: the same sums of neighbours on every plane of a batch and its channels."""

import math
import re
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules.products import Window, each_dim
from atonce.measure.shadows import NOTHING, later, latest
from atonce.shapes import Int

_AT_ONCE = 2**22
"""Numbers that are tried at once to find which neighbours an operation sums."""


def pooling(call: Call) -> Effect:
    """max_pool2d_with_indices, avg_pool2d and the like: each channel by itself."""
    inputs, kernel = call.args[:2]
    dims = int(call.name.split("_pool")[1][0])
    stride = call.named("stride") or kernel
    window = Window(
        kernel=each_dim(kernel, dims), stride=each_dim(stride, dims),
        padding=each_dim(call.named("padding"), dims),
        dilation=each_dim(call.named("dilation", 1), dims), groups=1,
    )  # fmt: skip
    if not call.output.numel():
        return Effect([call.nothing(call.output.shape)] * len(call.outputs), work=0)
    planes = call.shadow(inputs).reshape(-1, 1, *inputs.shape[-dims:])
    waited = latest(window.over(planes, places=call.output.shape[-dims:]), -1)
    waited = waited.view(-1, *call.output.shape)
    return Effect([waited] * len(call.outputs), math.prod(window.kernel))


def linear_map(call: Call) -> Effect:
    """im2col, col2im, upsample_…, _adaptive_avg_pool2d, adaptive_max_pool2d, and their ways back.

    Which neighbours go into which result is tried out, with a plane for each that is zero elsewhere.
    """
    tensor = call.args[0]
    if not call.output.numel():
        return Effect([call.nothing(call.output.shape)] * len(call.outputs), work=0)
    # One plane is tried for all: every plane of a batch and its channels is treated alike.
    depth = math.prod(call.args[2]) if call.name == "col2im" else 1
    dims = 1 if call.name == "col2im" else _plane_dims(call)
    plane = (depth, *tensor.shape[-dims:])
    start, end = _pairs(call, plane)
    planes = call.shadow(tensor).reshape(call.shadows.channels, -1, math.prod(plane))
    size = call.output.numel() // max(1, planes.shape[1])
    waited = torch.full((*planes.shape[:2], size), NOTHING)
    waited.scatter_reduce_(2, end.expand(*planes.shape[:2], -1), planes[:, :, start], "amax")
    shape = (call.shadows.channels, *call.output.shape)
    joined = int(end.bincount(minlength=1).max()) if len(end) else 1
    return Effect(
        [waited.view(shape)] * len(call.outputs), joined, work=max(1, len(start)) * max(1, planes.shape[1])
    )


def whole_planes(call: Call) -> Effect:
    """fractional_max_pool2d, grid_sampler_3d: each channel waits for all of its own, and where to look."""
    tensor = call.args[0]
    dims = _plane_dims(call)
    waited = latest(call.shadow(tensor), list(range(-dims, 0)), keepdim=True)
    for other in call.args[1:]:
        if isinstance(other, Tensor):
            where = call.shadow(other)
            if call.name.startswith("grid"):  # (batch, *places, coordinates)
                waited = later(waited, latest(where, -1)[:, :, None])
            else:
                waited = later(waited, latest(where.flatten(1), -1).view(-1, *(1,) * tensor.dim()))
    shadows = [waited.expand(-1, *one.shape) for one in call.outputs]
    return Effect(shadows, math.prod(tensor.shape[-dims:]), wide=True)


def _plane_dims(call: Call) -> int:
    """How many dimensions a plane has: the figure before "d" in the name."""
    if call.name == "im2col":
        return 2
    return int(re.findall(r"(\d)d", call.name)[0])


def _pairs(call: Call, plane: tuple[int, ...]) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Which places of a plane go into which places of its result."""
    kind = _kind(call)
    size = math.prod(plane)
    starts, ends = [], []
    operation: Any = _AS_SUMS.get(call.name, call.function)
    step = max(1, _AT_ONCE // max(1, size))
    for first in range(0, size, step):
        some = min(step, size - first)
        basis = torch.zeros(some, size, dtype=kind)
        basis[torch.arange(some), torch.arange(first, first + some)] = 1
        args = [basis.view(some, *plane), *(_one_plane(call, one, some) for one in call.args[1:])]
        # Linear, so that what a single one does to each result says whether that waits for it.
        found = operation(*args, **call.kwargs)
        start, end = (found.flatten(1) != 0).nonzero(as_tuple=True)
        starts.append(start + first)
        ends.append(end)
    if not starts:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return torch.cat(starts), torch.cat(ends)


def _kind(call: Call) -> torch.dtype:
    return call.args[0].dtype if call.args[0].is_floating_point() else torch.float64


def _one_plane(call: Call, value: Any, some: int) -> Any:
    """An argument that speaks of the whole batch, said of so many planes."""
    if isinstance(value, Tensor):
        dims = _plane_dims(call)
        return torch.zeros(some, 1, *value.shape[-dims:], dtype=_kind(call))
    if call.name.startswith(("upsample", "_upsample")) and call.name.endswith("backward"):
        whole = isinstance(value, list | tuple) and len(value) == 2 + _plane_dims(call)
        return [some, 1, *value[2:]] if whole else value
    return value


_AS_SUMS = {
    "adaptive_max_pool2d": torch.ops.aten._adaptive_avg_pool2d,
    "adaptive_max_pool3d": torch.ops.aten._adaptive_avg_pool3d,
}
"""Operations that sum the same neighbours."""
