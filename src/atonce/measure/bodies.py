"""Operations of higher order: torch.cond, while_loop, scan, map, flex_attention run by their bodies."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._ops import HigherOrderOperator

from atonce.errors import AtonceError


def run_by_body(operation: HigherOrderOperator, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The operation as torch runs it where nothing is compiled, each operation of its body by itself.

    Raises AtonceError for one that torch can only compile.
    """
    name = operation.name()
    body = _OWN.get(name) or operation.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
    if body is None:
        raise AtonceError(
            f"{name} cannot be measured",
            why="it is an operation of higher order that torch can only compile, so its body is not seen",
            fix="measure the same computation written without it: a loop, an if, or the function it wraps",
        )
    return body(*args, **kwargs)


def _cond(pred: Tensor | bool, if_true: Callable[..., Any], if_false: Callable[..., Any], given: Any) -> Any:
    """The branch that is taken. Which it is the program has read."""
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


_OWN: dict[str, Callable[..., Any]] = {"cond": _cond, "scan": _scan, "while_loop": _while_loop}
"""torch's own of these refuse to run while anybody watches."""
