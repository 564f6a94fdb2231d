"""Operations as the simpler ones they stand for, where no rule describes them.

Those of higher order (torch.cond, while_loop, scan, map, flex_attention) run by their bodies.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._decomp import decomposition_table
from torch._ops import HigherOrderOperator, OpOverload

from atonce.errors import AtonceError
from atonce.measure.call import base_name
from atonce.shapes import Bool, Complex, Float, Shaped


def decomposed(func: OpOverload) -> Callable[..., Any] | None:
    """The operation as simpler ones, as torch's compiler has it, or ours; None if there is no such form.

    An operation that writes to a tensor is taken apart as the one that does not, and then written.
    """
    if func.namespace == "prims":  # what other decompositions are made of
        implementation: Callable[..., Any] = vars(func)["impl_aten"]
        return implementation
    functional = _functional(func)
    if functional is not None and functional.name() in _OWN:  # torch's own of these does not resize
        return _written(func, _OWN[functional.name()])
    if found := _OWN.get(func.name()) or decomposition_table.get(func) or _one_by_one(func):
        return found
    simpler = None if functional is None else decomposed(functional)
    return None if simpler is None else _written(func, simpler)


def _functional(func: OpOverload) -> OpOverload | None:
    """The operation that writes over nothing, of one that does."""
    if not func._schema.is_mutable or func.namespace != "aten":
        return None
    found: OpOverload | None = getattr(getattr(torch.ops.aten, base_name(func), None), _overload(func), None)
    return found


def _written(func: OpOverload, functional: Callable[..., Any]) -> Callable[..., Any]:
    names = [one.name for one in func._schema.arguments if one.is_out]

    def run(*args: Any, **kwargs: Any) -> Any:
        targets = [kwargs.pop(name) for name in names] if names else [args[0]]
        found = functional(*args, **kwargs)
        for target, one in zip(targets, [found] if isinstance(found, Tensor) else found, strict=True):
            if target.shape != one.shape:
                target.resize_(one.shape)
            target.copy_(one)
        return targets[0] if len(targets) == 1 else tuple(targets)

    return run


def _overload(func: OpOverload) -> str:
    name = func._overloadname
    return "default" if name in ("out", "default") else name.removesuffix("_out")


def _one_by_one(func: OpOverload) -> Callable[..., Any] | None:
    """_foreach_add and the like: the same operation on each of several lists of tensors."""
    # Optimizers use them. As one operation, each weight would wait for the gradients of all.
    if not func.name().startswith("aten::_foreach_"):
        return None
    name = func.overloadpacket.__name__.removeprefix("_foreach_")
    each = getattr(torch.ops.aten, {"norm": "linalg_vector_norm"}.get(name, name), None)
    if each is None:
        return None

    scaled = name.rstrip("_") in ("addcmul", "addcdiv")  # the factor has to be given by its name

    def run(*args: Any, **kwargs: Any) -> list[Any] | None:
        found = []
        for place in range(len(args[0])):
            given = [_of(one, place, len(args[0])) for one in args]
            named = {key: _of(one, place, len(args[0])) for key, one in kwargs.items()}
            named |= {"value": given[3]} if scaled and len(given) > 3 else {}
            found.append(each(*given[: 3 if scaled else None], **named))
        return None if func._schema.is_mutable else found

    return run


def _of(value: Any, place: int, length: int) -> Any:
    """What is of one list, of an argument that may be a list itself, or the same for all."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == length:
        return value[place]
    return value


def _trilinear(
    one: Tensor,
    other: Tensor,
    third: Tensor,
    first: Any,
    second: Any,
    last: Any,
    summed: Any,
    unroll_dim: int = 1,
) -> Tensor:
    """_trilinear: the three tensors, with dimensions put in, multiplied and summed."""
    spread = []
    for tensor, places in ((one, first), (other, second), (third, last)):
        for place in places:
            tensor = tensor.unsqueeze(place)
        spread.append(tensor)
    return (spread[0] * spread[1] * spread[2]).sum(list(summed))


def _addbmm(
    tensor: Shaped[Tensor, "rows columns"],
    one: Shaped[Tensor, "batch rows inner"],
    other: Shaped[Tensor, "batch inner columns"],
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Shaped[Tensor, "rows columns"]:
    return tensor * beta + torch.bmm(one, other).sum(0) * alpha


def _complex(
    real: Float[Tensor, "*#shape"], imaginary: Float[Tensor, "*#shape"]
) -> Complex[Tensor, "*shape"]:
    """complex: both halves, each copied by itself."""
    real, imaginary = torch.broadcast_tensors(real, imaginary)
    return torch.view_as_complex(torch.stack([real, imaginary], -1))


_OWN: dict[str, Callable[..., Any]] = {
    "aten::complex": _complex,
    "aten::_trilinear": _trilinear,
    "aten::addbmm": _addbmm,
    "aten::_efficientzerotensor": torch.zeros,
}
"""What torch itself does not take apart."""


def run_by_body(operation: HigherOrderOperator, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The operation as torch runs it where nothing is compiled, each operation of its body by itself.

    Raises AtonceError for one that torch can only compile.
    """
    name = operation.name()
    body = _BODIES.get(name) or operation.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
    if body is None:
        raise AtonceError(
            f"{name} cannot be measured",
            why="it is an operation of higher order that torch can only compile, so its body is not seen",
            fix="measure the same computation written without it: a loop, an if, or the function it wraps",
        )
    return body(*args, **kwargs)


def _cond(
    pred: Bool[Tensor, ""] | bool, if_true: Callable[..., Any], if_false: Callable[..., Any], given: Any
) -> Any:
    """The branch that is taken."""
    return if_true(*given) if pred else if_false(*given)


def _scan(combine: Callable[..., Any], init: Any, xs: Any, additional_inputs: Any = ()) -> Any:
    """Step by step, as it is written."""
    carry, steps = list(init), []
    for step in zip(*(one.unbind(0) for one in xs), strict=True):
        found = combine(*carry, *step, *additional_inputs)
        carry = list(found[: len(carry)])
        steps.append(found[len(carry) :])
    return [*carry, *(torch.stack(outputs) for outputs in zip(*steps, strict=True))]


def _while_loop(
    goes_on: Callable[..., Any], body: Callable[..., Any], carried: Any, additional_inputs: Any = ()
) -> Any:
    """Round by round. Whether it goes on the program reads each time."""
    carried = tuple(carried)
    while goes_on(*carried, *additional_inputs):
        carried = tuple(body(*carried, *additional_inputs))
    return carried


_BODIES: dict[str, Callable[..., Any]] = {"cond": _cond, "scan": _scan, "while_loop": _while_loop}
"""torch's own of these refuse to run under a dispatch mode."""
