"""Sorting, searching and counting: what compares numbers with one another."""

import math

from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules import masks
from atonce.measure.rules.reductions import all_of
from atonce.measure.shadows import later, latest


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
    waited = call.nothing(())
    for one in call.tensors:
        waited = later(waited, all_of(call.shadow(one)))
    size = max(1, call.args[0].numel() if isinstance(call.args[0], Tensor) else call.output.numel())
    results = [waited.view(-1, *(1,) * one.dim()).expand(-1, *one.shape) for one in call.outputs]
    return Effect(results, size, work=size, wide=call.name in _AS_MANY_AS_FOUND)


_AS_MANY_AS_FOUND = {"nonzero", "masked_select", "unique_dim", "unique_consecutive", "_unique", "_unique2"}
"""How many results there are depends on the numbers themselves."""
