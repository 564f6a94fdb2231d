"""Operations over whole dimensions: sums, extremes, softmax, norms. And running ones, over all before."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Waited
from atonce.measure.shadows import NOTHING, is_constant, later, latest
from atonce.shapes import Int


def reduction(call: Call) -> Waited:
    """sum, mean, amax, argmax, var, logsumexp, …: (tensor, dim or dims or nothing, …)."""
    tensor = call.args[0]
    dims = _dims(call.argument(1, "dim"), tensor)
    waited = (
        latest(call.shadow(tensor), [1 + dim for dim in dims], keepdim=True) if dims else call.shadow(tensor)
    )
    joined = math.prod(tensor.shape[dim] for dim in dims)
    return Waited([waited.reshape(-1, *one.shape) for one in call.outputs], joined=max(1, joined))


def sorting(call: Call) -> Waited:
    """sort, topk, argsort: every element waits for all along the dimension."""
    tensor = call.args[0]
    place = 2 if call.name == "topk" else 1
    dim = call.argument(place, "dim", -1) % max(1, tensor.dim())
    waited = latest(call.shadow(tensor), 1 + dim, keepdim=True)
    length = tensor.shape[dim]
    work = tensor.numel() * max(1, math.ceil(math.log2(max(1, length))))
    return Waited([waited.expand(-1, *one.shape) for one in call.outputs], length, work=work)


def softmax(call: Call) -> Waited:
    """softmax and log_softmax: a constant minus infinity gets a constant weight of zero."""
    tensor, dim = call.args[0], call.args[1] % max(1, call.args[0].dim())
    shadow = call.shadow(tensor)
    waited = torch.where(is_constant(shadow), NOTHING, latest(shadow, 1 + dim, keepdim=True))
    return Waited([waited], tensor.shape[dim], work=3 * tensor.numel())


def softmax_backward(call: Call) -> Waited:
    """_softmax_backward_data(gradient, output, dim, …): nothing flows back to a weight always zero."""
    gradient, output, dim = call.args[:3]
    shadow = call.shadow(output)
    closed = is_constant(shadow)
    both = torch.where(closed, NOTHING, later(call.shadow(gradient), shadow))
    waited = torch.where(closed, NOTHING, latest(both, 1 + dim % output.dim(), keepdim=True))
    return Waited([waited], output.shape[dim], work=4 * output.numel())


def norm(call: Call) -> Waited:
    """native_layer_norm(tensor, shape, weight, bias, …) and _fused_rms_norm: over the last dimensions."""
    tensor, shape = call.args[:2]
    dims = list(range(1 + tensor.dim() - len(shape), 1 + tensor.dim()))
    statistics = latest(call.shadow(tensor), dims, keepdim=True)
    given = [call.shadow(one) for one in call.args[2:4] if isinstance(one, Tensor)]
    waited = later(statistics, *given).expand(-1, *tensor.shape)
    others = [statistics.expand(-1, *one.shape) for one in call.outputs[1:]]
    return Waited([waited, *others], math.prod(shape), work=6 * tensor.numel())


def norm_backward(call: Call) -> Waited:
    """native_layer_norm_backward(gradient, tensor, shape, mean, deviation, weight, bias, mask)."""
    gradient, tensor, shape = call.args[:3]
    both = later(call.shadow(gradient), call.shadow(tensor), *(call.shadow(one) for one in call.args[3:5]))
    inner = list(range(1 + tensor.dim() - len(shape), 1 + tensor.dim()))
    outer = list(range(1, 1 + tensor.dim() - len(shape)))
    weight = call.args[5]
    given = [] if weight is None else [call.shadow(weight)]
    for_inputs = later(latest(both, inner, keepdim=True), *given).expand(-1, *tensor.shape)
    over_rows = latest(both, outer) if outer else both
    wanted = zip((for_inputs, over_rows, over_rows), call.argument(7, "output_mask"), strict=True)
    rows = math.prod(tensor.shape[: tensor.dim() - len(shape)])
    waited = [one for one, is_wanted in wanted if is_wanted]
    return Waited(waited, max(math.prod(shape), rows), work=12 * tensor.numel())


def running(call: Call) -> Waited:
    """cumsum, cumprod, logcumsumexp, cummax: each element waits for those before it."""
    tensor, dim = call.args[0], call.args[1]
    waited = call.shadow(tensor)
    if tensor.dim():
        waited = waited.cummax(1 + dim % tensor.dim()).values
    return Waited([waited] * len(call.outputs), tensor.shape[dim] if tensor.dim() else 1, work=tensor.numel())


def everything(call: Call) -> Waited:
    """Each result waits for every element of every argument: the worst that can be."""
    waited = call.nothing(())
    for one in call.tensors():
        waited = later(waited, all_of(call.shadow(one)))
    return Waited([waited.view(-1, *(1,) * one.dim()).expand(-1, *one.shape) for one in call.outputs])


def all_of(shadow: Int[Tensor, " channels *shape"]) -> Int[Tensor, " channels"]:
    """The shadow of what waits for every element."""
    return latest(shadow.flatten(1) if shadow.dim() > 1 else shadow[:, None], -1)


def _dims(given: Any, tensor: Tensor) -> Sequence[int]:
    """The dimensions that an argument names; all, if it names none."""
    if isinstance(given, int) and not isinstance(given, bool):
        return [given % max(1, tensor.dim())] if tensor.dim() else []
    if isinstance(given, Sequence) and len(given):
        return [one % max(1, tensor.dim()) for one in given]
    return list(range(tensor.dim()))
