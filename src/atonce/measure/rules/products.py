"""Matrix products and convolutions: sums of products."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules.reductions import whole
from atonce.measure.shadows import NOTHING, is_constant, is_minus_infinity, later, latest
from atonce.shapes import Int

_AT_ONCE = 2**23
"""Numbers that are compared at once where masks must be looked at term by term."""


def matrix_product(call: Call) -> Effect:
    """mm(one, other), bmm, mv, dot."""
    one, other = call.args[:2]
    waited = _product(call, one, other).view(call.shadows.channels, *call.output.shape)
    count = 2 * call.output.numel() * one.shape[-1]
    return Effect([waited], max(1, one.shape[-1]), work=count, products=count)


def added_product(call: Call) -> Effect:
    """addmm(bias, one, other), baddbmm, addmv. The bias may come late: it is added last."""
    bias, one, other = call.args[:3]
    product = _product(call, one, other).view(call.shadows.channels, *call.output.shape)
    added = call.nothing(()) if call.named("beta", 1) == 0 else call.shadow(bias)
    waited, masked = later(product, added), call.masked(bias)
    if masked is not None:
        closed = is_constant(added) & is_minus_infinity(bias)
        waited = torch.where(closed, NOTHING, waited)
        masked = masked.expand(call.output.shape)
    factors = [call.shadows.far(factor) for factor in (one, other)]
    loses = any(far is not None and bool(far.any()) for far in factors)
    count = 2 * call.output.numel() * one.shape[-1]
    work = count + call.output.numel()
    return Effect([waited], max(1, one.shape[-1]), work=work, products=count, far=masked, loses=loses)


def _product(call: Call, one: Tensor, other: Tensor) -> Int[Tensor, " channels *batch rows columns"]:
    """Each element waits for its row and its column, except for terms with a factor that is always zero."""
    rows, columns = call.shadow(one), call.shadow(other)
    zero_in_row, zero_in_column = call.constantly(one, 0), call.constantly(other, 0)
    if one.dim() == 1:
        rows, zero_in_row = rows[:, None], zero_in_row[None]
    if other.dim() == 1:
        columns, zero_in_column = columns[..., None], zero_in_column[..., None]
    # Without constant zeros, rows and columns wait as wholes: no table of all terms is needed.
    if not (zero_in_row.any() or zero_in_column.any()):
        return torch.maximum(latest(rows, -1)[..., None], latest(columns, -2)[..., None, :])
    # A causal mean, as a product with a triangle of ones, sees no later position.
    nil = zero_in_row[..., None] | zero_in_column[..., None, :, :]
    size = max(1, nil.numel())
    return torch.cat(
        [
            latest(torch.maximum(row[..., None], column[..., None, :, :]).masked_fill(nil, NOTHING), -2)
            for row, column in zip(
                *(part.split(max(1, _AT_ONCE // size)) for part in (rows, columns)), strict=True
            )
        ]
    )


def convolution(call: Call) -> Effect:
    """convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    inputs, weight, bias = call.args[:3]
    if not call.output.numel():
        return Effect([call.nothing(call.output.shape)], work=0)
    if call.args[6]:
        return transposed_convolution(call)
    window = Window.of(call)
    per_group = call.output.shape[1] // window.groups
    windows = window.over(call.shadow(inputs).flatten(0, 1)).unflatten(0, (-1, len(inputs)))
    seen = latest(windows, -1)  # channels, batch, groups, *places
    seen = seen.repeat_interleave(per_group, dim=2)
    of_weight = latest(call.shadow(weight).flatten(2), -1)
    added = call.nothing((len(of_weight[0]),)) if bias is None else call.shadow(bias)
    given = later(of_weight, added).view(len(seen), 1, -1, *(1,) * (seen.dim() - 3))
    count = 2 * call.output.numel() * weight[0].numel()
    biases = 0 if bias is None else call.output.numel()
    return Effect([later(seen, given)], weight[0].numel(), work=count + biases, products=count)


def transposed_convolution(call: Call) -> Effect:
    """Each place of the input goes to the places that its window covers in the output."""
    inputs, weight, bias = call.args[:3]
    window = Window.of(call)
    spread = window.back(call.shadow(inputs), call.output)
    of_weight = latest(call.shadow(weight).flatten(3), -1) if weight.dim() > 2 else call.shadow(weight)
    of_weight = latest(of_weight.unflatten(1, (window.groups, -1)), 2).flatten(1)
    added = call.nothing((of_weight.shape[1],)) if bias is None else call.shadow(bias)
    given = later(of_weight, added).view(len(spread), 1, -1, *(1,) * (spread.dim() - 3))
    joined = max(1, weight[:, :1].numel() // window.groups)
    count = 2 * inputs.numel() * weight[0].numel()
    biases = 0 if bias is None else call.output.numel()
    return Effect([later(spread, given)], joined, work=count + biases, products=count)


def convolution_backward(call: Call) -> Effect:
    """Gradients of the inputs (from the places that saw them), of weights and bias (from all places)."""
    gradient, inputs, weight = call.args[:3]
    window = Window.of(call, first=4)
    of_gradient = call.shadow(gradient)
    if call.args[7]:  # transposed: where the gradients are, a convolution
        seen = latest(window.over(of_gradient.flatten(0, 1)).unflatten(0, (-1, len(inputs))), -1)
        for_inputs = seen.repeat_interleave(inputs.shape[1] // window.groups, dim=2)
    else:
        for_inputs = window.back(of_gradient, inputs)
    for_inputs = later(for_inputs, whole(call, weight, weight.dim()))
    all_places = latest(of_gradient, [1, *range(3, of_gradient.dim())])
    by_weight = (
        whole(call, gradient, gradient.dim())
        if call.args[7]
        else all_places.view(len(all_places), -1, *(1,) * (weight.dim() - 1))
    )
    for_weight = later(by_weight, whole(call, inputs, inputs.dim())).expand(-1, *weight.shape)
    mask = call.argument(10, "output_mask")
    wanted = [
        one for one, is_wanted in zip((for_inputs, for_weight, all_places), mask, strict=True) if is_wanted
    ]
    count = 2 * gradient.numel() * weight[0].numel() * sum(mask[:2])
    biases = gradient.numel() if mask[2] else 0
    return Effect(wanted, gradient.numel() // gradient.shape[1], work=count + biases, products=count)


class Window:
    """Which neighbours each place of a convolution sees."""

    def __init__(
        self, *, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
        dilation: Sequence[int], groups: int,
    ) -> None:  # fmt: skip
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups

    @classmethod
    def of(cls, call: Call, first: int = 3) -> "Window":
        """From the arguments of a convolution, of which `first` is the stride."""
        stride, padding, dilation, _, _, groups = call.args[first : first + 6]
        kernel = call.args[2 if first == 4 else 1].shape[2:]
        each = [each_dim(one, len(kernel)) for one in (stride, padding, dilation)]
        return cls(kernel=kernel, stride=each[0], padding=each[1], dilation=each[2], groups=groups)

    def over(
        self, plane: Int[Tensor, "batch features *sides"], *, padding: int = NOTHING,
        places: Sequence[int] | None = None,
    ) -> Int[Tensor, "batch groups *places neighbours"]:  # fmt: skip
        """The elements of `plane` that each place sees, of all features of its group.

        `places`: how many there are along each side, where a last window may reach beyond the padding.
        """
        dims = len(self.kernel)
        pads = [(pad, pad) for pad in self.padding]
        if places is not None:
            for side, count in enumerate(places):
                reach = (count - 1) * self.stride[side] + (self.kernel[side] - 1) * self.dilation[side] + 1
                before = pads[side][0]
                pads[side] = before, max(pads[side][1], reach - plane.shape[side - dims] - before)
        windows = F.pad(plane, [pad for side in reversed(pads) for pad in side], value=padding)
        for side in range(dims):
            reach = (self.kernel[side] - 1) * self.dilation[side] + 1
            windows = windows.unfold(2 + side, reach, self.stride[side])[..., :: self.dilation[side]]
        grouped = windows.unflatten(1, (self.groups, -1)).movedim(2, 2 + dims)
        return grouped.flatten(2 + dims)

    def back(
        self, places: Int[Tensor, " channels batch features *places"], plane: Tensor
    ) -> Int[Tensor, " channels *shape"]:
        """What the elements of `plane` wait for if each of its places goes to all that it sees."""
        # Which elements each place sees: numbers from 1 for those of the plane, 0 where there is padding.
        numbered = torch.arange(1, plane.numel() + 1).view(plane.shape)
        seen = self.over(numbered, padding=0)  # batch, groups, *places, neighbours
        seen = seen[:, :, *(slice(side) for side in places.shape[3:])]
        by_group = latest(places.unflatten(2, (self.groups, -1)), 3)  # channels, batch, groups, *places
        spread = by_group[..., None].expand(-1, *seen.shape).flatten(1)
        # One more than there are elements: what goes to number 0, the padding, is thrown away.
        arrived = torch.full((len(places), plane.numel() + 1), NOTHING)
        arrived.scatter_reduce_(1, seen.flatten().expand(len(spread), -1), spread, "amax")
        return arrived[:, 1:].view(len(places), *plane.shape)


def each_dim(value: Any, dims: int) -> list[int]:
    """One number for each dimension, of a list that may have one for all."""
    values = [value] if isinstance(value, int) else list(value)
    return values * dims if len(values) == 1 else values
