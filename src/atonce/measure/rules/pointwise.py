"""Operations on one element of each argument: sums, products, nonlinearities, choices."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules import masks
from atonce.measure.shadows import NOTHING, aligned, is_constant, is_unmarked, later
from atonce.shapes import Bool

PRODUCTS = {"mul", "bitwise_and", "logical_and", "__and__"}
ALTERNATIVES = {"bitwise_or", "logical_or", "__or__"}


def pointwise(call: Call) -> Effect:
    """Every element waits for its own in all arguments.

    A constant that decides the result alone (zero times anything, minus infinity plus anything) makes it a
    constant: so nothing flows through where a mask is closed.
    """
    made = masks.outcome(call)
    idle = {} if made is None else {id(one): where for one, where in made.idle}
    waited = call.nothing(call.output.shape)
    for one in call.tensors:
        shadow = call.shadow(one)
        if id(one) in idle:
            waited, shadow = aligned(waited, shadow)
            shadow = torch.where(idle[id(one)], NOTHING, shadow)
        waited = later(waited, shadow)
    decided = [*_decided(call), *(() if made is None else (made.decided,))]
    for places in decided:
        if places.any():
            waited = torch.where(places, NOTHING, waited)
    if made is None:
        return Effect([waited] * len(call.outputs), loses=False)
    far = made.far & ~is_constant(waited)
    seen = far | is_constant(waited)
    loses = False
    for one in call.tensors:
        put = call.shadows.far(one)
        loses |= put is not None and bool((put & ~idle.get(id(one), put) & ~seen).any())
    return Effect([waited] * len(call.outputs), far=masks.spread(far, call), loses=loses)


def where(call: Call) -> Effect:
    """where(condition, one, other). A condition that is always the same opens the way to one only."""
    condition, one, other = call.args
    return _chosen(call, condition, one, other)


def masked_fill(call: Call) -> Effect:
    """masked_fill(tensor, mask, value)."""
    tensor, mask, value = call.args
    return _chosen(call, mask, value, tensor)


def triangle(call: Call) -> Effect:
    """tril, triu: constant zeros on one side."""
    tensor = call.args[0]
    diagonal = call.argument(1, "diagonal", 0)
    kept = getattr(torch.ones_like(tensor, dtype=torch.bool), call.name)(diagonal).cpu()
    far = call.shadows.far(tensor)
    return Effect(
        [torch.where(kept, call.shadow(tensor), NOTHING)],
        far=None if far is None else far & kept,
        loses=False,
    )


def _chosen(call: Call, condition: Bool[Tensor, "*#shape"], if_true: Any, if_false: Any) -> Effect:
    """A condition that depends on no marked position chooses the same in every run, but is waited for."""
    waits, one, other = aligned(*(call.shadow(value) for value in (condition, if_true, if_false)))
    always = torch.where(condition.cpu().bool(), one, other)
    fixed = torch.where(is_unmarked(waits), later(waits, always), later(waits, one, other))
    found = torch.where(is_constant(waits), always, fixed)
    far, loses = masks.chosen(call, condition, if_true, if_false)
    return Effect([later(call.nothing(call.output.shape), found)], far=far, loses=loses)


def _decided(call: Call) -> Iterator[Bool[Tensor, "*#shape"]]:
    """Where one constant argument alone decides the result."""
    if call.name in PRODUCTS:
        yield from (call.constantly(one, 0) for one in call.args[:2])
    elif call.name in ALTERNATIVES:
        yield from (call.constantly(one, 1) for one in call.args[:2])
    elif call.name == "div" and not _is_whole(call.args[1]):  # 0 / 0 is NaN, and no constant zero
        yield call.constantly(call.args[0], 0)


def _is_whole(value: Any) -> bool:
    """Whether a divisor is of whole numbers, counts for example, which are often zero."""
    return isinstance(value, Tensor) and not value.is_floating_point() and not value.is_complex()
