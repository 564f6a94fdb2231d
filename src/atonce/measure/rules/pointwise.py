"""Operations on one element of each argument: sums, products, nonlinearities, choices."""

import torch
from torch import Tensor

from atonce.measure.call import Call, Waited
from atonce.measure.shadows import NOTHING, aligned, is_constant, is_minus_infinity, later
from atonce.shapes import Bool, Int

PRODUCTS = {"mul", "bitwise_and", "logical_and", "__and__"}
SUMS = {"add", "sub", "rsub"}
ALTERNATIVES = {"bitwise_or", "logical_or", "__or__"}
EXPONENTIALS = {"exp", "exp2", "sigmoid"}
"""Of what is far below zero they are zero."""
SCALED = {"mul", "div"}
"""What is far below zero remains so."""


def pointwise(call: Call) -> Waited:
    """Every element waits for its own in all arguments.

    A constant that decides the result alone (zero times anything, minus infinity plus anything) makes it a
    constant: so nothing flows through where a mask is closed.
    """
    shape = call.output.shape
    waited = later(call.nothing(shape), *(call.shadow(one) for one in call.tensors()))
    shadow = torch.where(_decided(call), NOTHING, waited)
    return Waited([shadow] * len(call.outputs), lowered=_lowered(call))


def where(call: Call) -> Waited:
    """where(condition, one, other). A condition that is always the same opens the way to one only."""
    condition, one, other = call.args
    return Waited([_chosen(call, condition, call.shadow(one), call.shadow(other))])


def masked_fill(call: Call) -> Waited:
    """masked_fill(tensor, mask, value)."""
    tensor, mask, value = call.args
    return Waited([_chosen(call, mask, call.shadow(value), call.shadow(tensor))])


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


def _decided(call: Call) -> Bool[Tensor, "*#shape"]:
    """Where one constant argument alone decides the result."""
    decided = torch.tensor(False)
    for one in call.args[:2] if len(call.args) > 1 else ():
        if call.name in PRODUCTS:
            decided = decided | call.constantly(one, 0)
        elif call.name in ALTERNATIVES:
            decided = decided | call.constantly(one, 1)
        elif call.name in SUMS and isinstance(one, Tensor) and one.is_floating_point():
            decided = decided | (is_constant(call.shadow(one)) & is_minus_infinity(one))
    if call.name in EXPONENTIALS and (lowered := call.shadows.lowered(call.args[0])) is not None:
        decided = decided | (lowered & (call.output == 0))
    if call.name == "div":
        decided = decided | call.constantly(call.args[0], 0)
    return decided


def _lowered(call: Call) -> Bool[Tensor, "*#shape"] | None:
    """Where a sum has a constant far below zero in it, by which a mask closes what a softmax opens."""
    if call.name in SUMS:
        masks = [call.masked(one, sign) for one, sign in _terms(call) if isinstance(one, Tensor)]
    elif call.name in SCALED:
        masks = [call.shadows.lowered(one) for one in call.args[:2] if isinstance(one, Tensor)]
    else:
        return None
    found = [one for one in masks if one is not None]
    if not found:
        return None
    lowered = found[0] if len(found) == 1 else found[0] | found[1]
    return lowered.expand(call.output.shape)


def _terms(call: Call) -> list[tuple[object, float]]:
    """What is added to one another, with the sign that it has there."""
    (first, second), alpha = call.args[:2], call.named("alpha", 1)
    alpha = alpha.real if isinstance(alpha, complex) else alpha
    if call.name == "rsub":
        return [(first, -alpha), (second, 1)]
    return [(first, 1), (second, alpha if call.name == "add" else -alpha)]
