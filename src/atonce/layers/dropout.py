"""Dropout that does not wait for its random numbers, and keeps a byte for each of them."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from atonce.shapes import Bool, Float


def dropout(inputs: Float[Tensor, "*shape"], share: float, training: bool) -> Float[Tensor, "*shape"]:
    """Zero about `share` of the numbers and scale up the rest (Srivastava 2014).

    On a CPU torch draws one random number for each element, one after another: a tenth of the training time
    of a small model. Here one draw of 64 bits decides eight elements, so the share is rounded to 1/256.
    """
    if not training or share == 0:
        return inputs
    # A GPU draws all of them side by side.
    if inputs.device.type != "cpu":
        return F.dropout(inputs, share)
    # Of 256 values of a byte, so many are dropped: never none and never all.
    zeroed = min(max(1, round(share * 256)), 255)
    count = inputs.numel()
    # None: up to the greatest there is, so that all 64 bits are random.
    draws = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.uint8)[:count].view(inputs.shape) >= zeroed
    outputs: Tensor = _Kept.apply(inputs, kept, 256 / (256 - zeroed))
    return outputs


class _Kept(torch.autograd.Function):
    """Numbers that are kept, scaled; zero elsewhere. The backward pass needs no more than which these are.

    Of a product with a mask autograd would keep the mask as floats, four times as much memory.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, inputs: Float[Tensor, "*shape"], kept: Bool[Tensor, "*shape"], scale: float
    ) -> Float[Tensor, "*shape"]:
        ctx.save_for_backward(kept)
        ctx.scale = scale  # type: ignore[attr-defined]
        return inputs * kept.to(inputs.dtype).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, gradient: Float[Tensor, "*shape"]
    ) -> tuple[Float[Tensor, "*shape"], None, None]:
        (kept,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * kept.to(gradient.dtype).mul_(ctx.scale), None, None  # type: ignore[attr-defined]
