"""Operations over whole dimensions: sums, extremes, softmax, norms, running sums, sorting and counting.

In unit cost each is one step; in PRAM over n numbers 1 + ⌈log2 n⌉, as many as it takes to join them in pairs.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules import masks
from atonce.measure.shadows import NOTHING, is_constant, is_minus_infinity, later, latest
from atonce.shapes import Int


def reduction(call: Call) -> Effect:
    """sum, mean, amax, argmax, var, logsumexp, …: (tensor, dim or dims or nothing, …)."""
    tensor = call.args[0]
    dims = _dims(call.named("dim"), tensor)
    shadow = call.shadow(tensor)
    far, loses = None, None
    # The greatest of some numbers is none of those that a mask has put far below: it does not wait for them.
    groups = masks.Groups.of(call, tensor) if call.name in GREATEST | LEAST and dims else None
    if groups is not None and tensor.numel():
        best = (groups.amin if call.name in LEAST else groups.amax)(dims)
        shadow = torch.where(groups.each == best, shadow, NOTHING)
        loses = False
        if call.output.is_floating_point():
            far = (best != 0).reshape(call.output.shape)
    waited = latest(shadow, [1 + dim for dim in dims], keepdim=True)
    joined = math.prod(tensor.shape[dim] for dim in dims)
    channels = call.shadows.channels
    shadows = [waited.reshape(channels, *one.shape) for one in call.outputs]
    return Effect(shadows, joined=max(1, joined), far=far, loses=loses)


def softmax(call: Call) -> Effect:
    """softmax and log_softmax: what a mask has put far below the greatest gets a constant weight of zero.

    So it is only where the weight is exactly zero: a mask of -100 leaves something to be seen.
    """
    tensor, dim = call.args[0], call.args[1] % max(1, call.args[0].dim())
    shadow = call.shadow(tensor)
    if not tensor.dim():
        return Effect([shadow])
    joined, work = max(1, tensor.shape[dim]), 3 * tensor.numel()
    groups = masks.Groups.of(call, tensor) if tensor.numel() else None
    if groups is None:
        row = latest(shadow, 1 + dim, keepdim=True)
        return Effect([row.expand(-1, *tensor.shape)], joined, work=work)
    best = groups.amax([dim])
    weights = call.output.detach().exp() if call.name == "_log_softmax" else call.output.detach()
    closed = (groups.each < best) & (weights == 0)
    constant = is_constant(shadow)
    endless = constant & is_minus_infinity(tensor)
    row = latest(torch.where(closed, NOTHING, shadow), 1 + dim, keepdim=True)
    # A row of which everything is closed: softmax then gives weight to what was to be hidden.
    loses = bool(((best < 0) & ~constant).any())
    if call.name != "_log_softmax":
        empty = constant.all(dim, keepdim=True)  # nothing may be seen: no weights, or all the same
        return Effect([torch.where(closed | empty, NOTHING, row)], joined, work=work, loses=loses)
    waited = torch.where(endless, NOTHING, torch.where(closed, later(row, shadow), row))
    return Effect([waited], joined, work=work, far=closed, loses=loses)


def softmax_backward(call: Call) -> Effect:
    """_softmax_backward_data(gradient, output, dim, …): nothing flows back to a weight always zero."""
    gradient, output, dim = call.args[:3]
    shadow = call.shadow(output)
    closed = is_constant(shadow) & (output.detach() == 0)
    if not output.dim():
        return Effect([later(call.shadow(gradient), shadow)])
    both = torch.where(closed, NOTHING, later(call.shadow(gradient), shadow))
    waited = torch.where(closed, NOTHING, latest(both, 1 + dim % output.dim(), keepdim=True))
    return Effect([waited], output.shape[dim], work=4 * output.numel())


def norm(call: Call) -> Effect:
    """native_layer_norm(tensor, shape, weight, bias, …) and _fused_rms_norm: over the last dimensions."""
    tensor, shape = call.args[:2]
    dims = list(range(1 + tensor.dim() - len(shape), 1 + tensor.dim()))
    statistics = latest(call.shadow(tensor), dims, keepdim=True)
    given = [call.shadow(one) for one in call.args[2:4] if isinstance(one, Tensor)]
    waited = later(statistics, *given).expand(-1, *tensor.shape)
    others = [statistics.expand(-1, *one.shape) for one in call.outputs[1:]]
    return Effect([waited, *others], math.prod(shape), work=6 * tensor.numel())


def norm_backward(call: Call) -> Effect:
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
    return Effect(waited, max(math.prod(shape), rows), work=12 * tensor.numel())


def running(call: Call) -> Effect:
    """cumsum, cumprod, logcumsumexp, cummax: each element waits for those before it."""
    tensor, dim = call.args[0], call.args[1]
    waited = call.shadow(tensor)
    # Only for those before, and in log2 n PRAM steps: a parallel prefix sum (Blelloch 1990).
    if tensor.numel() and tensor.dim():
        waited = waited.cummax(1 + dim % tensor.dim()).values
    return Effect([waited] * len(call.outputs), tensor.shape[dim] if tensor.dim() else 1, work=tensor.numel())


def sorting(call: Call) -> Effect:
    """sort, topk, argsort: every element waits for all along the dimension.

    1 + ⌈log2 n⌉ PRAM steps, as a sorting network of logarithmic depth takes (Ajtai, Komlós, Szemerédi 1983).
    """
    tensor = call.args[0]
    if not tensor.dim():
        return Effect([call.shadow(tensor)] * len(call.outputs))
    dim = call.named("dim", -1) % tensor.dim()
    shadow = call.shadow(tensor)
    length = tensor.shape[dim]
    work = tensor.numel() * max(1, math.ceil(math.log2(max(1, length))))
    groups = masks.Groups.of(call, tensor) if tensor.numel() else None
    if groups is None:
        waited = [latest(shadow, 1 + dim, keepdim=True).expand(-1, *one.shape) for one in call.outputs]
        return Effect(waited, max(1, length), work=work)
    # Among what a mask has put far below the others nobody has to look for the greatest.
    group = groups.each.gather(dim, call.outputs[1])
    waited = [groups.waited(shadow, dim, group)] * 2
    return Effect(waited, max(1, length), work=work, far=group != 0, loses=False)


def searching(call: Call) -> Effect:
    """searchsorted(sequence, values, …), bucketize(values, boundaries): log2 n comparisons, one by one."""
    sequence, values = call.args[:2] if call.name == "searchsorted" else reversed(call.args[:2])
    waited = latest(call.shadow(sequence), -1, keepdim=True)
    sorter = call.named("sorter")
    if isinstance(sorter, Tensor):
        waited = later(waited, latest(call.shadow(sorter), -1, keepdim=True))
    if sequence.dim() == 1:
        waited = waited[:, 0]
    waited = later(call.nothing(call.output.shape), waited, call.shadow(values))
    length = max(1, sequence.shape[-1])
    return Effect([waited], length, work=call.output.numel() * max(1, math.ceil(math.log2(length))))


def counting(call: Call) -> Effect:
    """histc, bincount, unique, nonzero, …: each count waits for everything, which may fall into it.

    And so do results that come one after the other as they are found: where one is depends on those before.
    """
    size = max(1, call.args[0].numel() if isinstance(call.args[0], Tensor) else call.output.numel())
    # As deep as a sum over all of it: counts of parts are added in pairs.
    return everything(call)._replace(joined=size, work=size, wide=call.name in _AS_MANY_AS_FOUND)


def alignment(call: Call) -> Effect:
    """_ctc_loss(log probabilities, targets, lengths, …): each text of the batch for itself, step after step.

    The steps are products of matrices in a semiring, and so can be joined in pairs, as a running sum.
    """
    scores = call.shadow(call.args[0])  # channels, steps, batch, labels
    given = later(
        call.nothing(()), *(all_of(call.shadow(one)) for one in call.tensors if one is not call.args[0])
    )
    batch = latest(scores, -1).cummax(1).values.mT if scores.dim() == 4 else latest(scores, -1)[:, None]
    batch = later(batch, given[:, None, None])  # channels, batch, steps
    outputs = [
        batch[..., -1].reshape(-1, *call.output.shape),
        batch[..., None].expand(-1, *call.outputs[1].shape),
    ]
    steps = max(1, call.args[0].shape[0])
    return Effect(outputs, steps, work=3 * call.outputs[1].numel())


def everything(call: Call) -> Effect:
    """Each result waits for every element of every argument: the worst that can be."""
    waited = call.nothing(())
    for one in call.tensors:
        waited = later(waited, all_of(call.shadow(one)))
    return Effect([waited.view(-1, *(1,) * one.dim()).expand(-1, *one.shape) for one in call.outputs])


def all_of(shadow: Int[Tensor, " channels *shape"]) -> Int[Tensor, " channels"]:
    """The shadow of what waits for every element."""
    return latest(shadow.flatten(1) if shadow.dim() > 1 else shadow[:, None], -1)


def whole(call: Call, tensor: Tensor, dims: int) -> Int[Tensor, " channels *ones"]:
    """The shadow of all of a tensor, to be broadcast over another of `dims` dimensions."""
    return all_of(call.shadow(tensor)).view(-1, *(1,) * dims)


def _dims(given: Any, tensor: Tensor) -> list[int]:
    """The dimensions that an argument names; all, if it names none."""
    if isinstance(given, int) and not isinstance(given, bool):
        return [given % max(1, tensor.dim())] if tensor.dim() else []
    if isinstance(given, Sequence) and len(given):
        return [one % tensor.dim() for one in given] if tensor.dim() else []
    return list(range(tensor.dim()))


GREATEST = {"amax", "max", "logsumexp", "argmax"}
LEAST = {"amin", "min", "argmin"}
"""Their results do not depend on numbers that a mask has put far on the other side."""

_AS_MANY_AS_FOUND = {"nonzero", "masked_select", "unique_dim", "unique_consecutive", "_unique", "_unique2"}
"""How many results there are depends on the numbers themselves."""
