"""Operations on one element of each argument: sums, products, nonlinearities, choices."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Waited
from atonce.measure.shadows import (
    NOTHING,
    aligned,
    is_constant,
    is_low,
    is_minus_infinity,
    is_unmarked,
    later,
)
from atonce.shapes import Bool, Int

PRODUCTS = {"mul", "bitwise_and", "logical_and", "__and__"}
SUMS = {"add", "sub", "rsub"}
ALTERNATIVES = {"bitwise_or", "logical_or", "__or__"}
EXPONENTIALS = {
    "exp", "exp2", "sigmoid", "relu", "softplus", "gelu", "silu", "hardsigmoid", "hardswish", "hardtanh",
}  # fmt: skip
"""Of what is far below zero they are zero."""
SCALED = {"mul", "div"}
"""What is far below zero remains so."""
LIMITED = {"clamp", "clamp_min", "maximum", "max", "log_sigmoid_forward"}
"""Of these, too, as long as the result is far below zero."""


def pointwise(call: Call) -> Waited:
    """Every element waits for its own in all arguments.

    A constant that decides the result alone (zero times anything, minus infinity plus anything) makes it a
    constant: so nothing flows through where a mask is closed.
    """
    shape = call.output.shape
    waited = later(call.nothing(shape), *(call.shadow(one) for one in call.tensors))
    decided, lowered = _decided(call)
    shadow = waited if decided is None else torch.where(decided, NOTHING, waited)
    return Waited([shadow] * len(call.outputs), lowered=lowered)


def where(call: Call) -> Waited:
    """where(condition, one, other). A condition that is always the same opens the way to one only."""
    condition, one, other = call.args
    chosen = _chosen(call, condition, call.shadow(one), call.shadow(other))
    return Waited([chosen], lowered=_chosen_low(call, condition, one, other))


def masked_fill(call: Call) -> Waited:
    """masked_fill(tensor, mask, value)."""
    tensor, mask, value = call.args
    chosen = _chosen(call, mask, call.shadow(value), call.shadow(tensor))
    return Waited([chosen], lowered=_chosen_low(call, mask, value, tensor))


def triangle(call: Call) -> Waited:
    """tril, triu: constant zeros on one side."""
    kept = getattr(torch.ones_like(call.args[0], dtype=torch.bool), call.name)(
        call.argument(1, "diagonal", 0)
    )
    return Waited([torch.where(kept.cpu(), call.shadow(call.args[0]), NOTHING)])


def _chosen(
    call: Call,
    condition: Bool[Tensor, "*#shape"],
    if_true: Int[Tensor, " channels *#shape"],
    if_false: Int[Tensor, " channels *#shape"],
) -> Int[Tensor, " channels *shape"]:
    waits, if_true, if_false = aligned(call.shadow(condition), if_true, if_false)
    always = torch.where(condition.cpu(), if_true, if_false)
    chosen = torch.where(is_constant(waits), always, later(waits, if_true, if_false))
    return later(call.nothing(call.output.shape), chosen)


def _chosen_low(
    call: Call, condition: Bool[Tensor, "*#shape"], if_true: Any, if_false: Any
) -> Bool[Tensor, "*shape"] | None:
    """Where what a mask has put far below zero is chosen in every run."""
    masks = [call.shadows.lowered(one) if isinstance(one, Tensor) else None for one in (if_true, if_false)]
    if masks[0] is None and masks[1] is None:
        return None
    none = torch.tensor(False)
    one, other = (none if mask is None else mask for mask in masks)
    waits = call.shadow(condition)
    low = torch.where(condition.cpu(), one, other) & (is_constant(waits) | is_unmarked(waits))
    return low.expand(call.output.shape)


Places = Bool[Tensor, "*#shape"]


def _decided(call: Call) -> tuple[Places | None, Places | None]:
    """Where one constant argument alone decides the result; and where one puts it far below zero.

    The latter is how a mask closes what a softmax opens: by a sum with minus infinity, or with -1e9.
    """
    if call.name in SUMS:
        return _sum(call)
    if call.name in PRODUCTS:
        decided = _any(call.constantly(one, 0) for one in call.args[:2])
    elif call.name in ALTERNATIVES:
        decided = _any(call.constantly(one, 1) for one in call.args[:2])
    elif call.name == "div":
        decided = _any([call.constantly(call.args[0], 0)])
        if isinstance(call.args[1], Tensor) and not call.args[1].is_floating_point():
            decided = None  # zero by zero is no number, and whole numbers are often zero
    elif call.name in EXPONENTIALS:
        lowered = call.shadows.lowered(call.args[0])
        return (None if lowered is None else lowered & (call.output == 0)), None
    elif call.name in LIMITED:
        masks = [call.shadows.lowered(one) for one in call.args if isinstance(one, Tensor)]
        return None, _spread(call, _any(one & is_low(call.output) for one in masks if one is not None))
    else:
        return None, None
    if call.name not in SCALED:
        return decided, None
    return decided, _spread(call, _any(_scaled(call)))


def _scaled(call: Call) -> Iterator[Places]:
    """What is far below zero, where no factor that a marked position goes into can turn it round."""
    for one, factor in (call.args[:2], reversed(call.args[:2])):
        lowered = call.shadows.lowered(one) if isinstance(one, Tensor) else None
        if lowered is not None:
            shadow = call.shadow(factor)
            yield lowered & (is_constant(shadow) | is_unmarked(shadow))


def _sum(call: Call) -> tuple[Places | None, Places | None]:
    decided, lowered = [], []
    for one, sign in _terms(call):
        if not isinstance(one, Tensor) or (mask := call.masked(one, sign)) is None:
            continue
        lowered.append(mask)
        decided.append(is_constant(call.shadow(one)) & is_minus_infinity(one if sign > 0 else -one))
    return _any(decided), _spread(call, _any(lowered))


def _any(places: Iterable[Places]) -> Places | None:
    """Where any of these is true; None if nowhere."""
    found = [one for one in places if one.any()]
    return functools.reduce(torch.logical_or, found) if found else None


def _spread(call: Call, places: Places | None) -> Places | None:
    return None if places is None else places.expand(call.output.shape)


def _terms(call: Call) -> list[tuple[object, int | float]]:
    """What is added to one another, with the sign that it has there."""
    (first, second), alpha = call.args[:2], call.named("alpha", 1)
    alpha = alpha.real if isinstance(alpha, complex) else alpha
    if call.name == "rsub":
        return [(first, -alpha), (second, 1)]
    return [(first, 1), (second, alpha if call.name == "add" else -alpha)]
