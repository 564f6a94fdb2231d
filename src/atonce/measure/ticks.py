"""The earliest tick at which each part of a program can be computed, and what goes into it.

A tick is a step of the longest chain: with as many processors as wanted, all that has the same tick is
computed at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch.utils._python_dispatch import _disable_current_modes

from atonce.measure.call import tensors_in
from atonce.measure.shadows import FIRST_PATH, NOTHING, STEP, UNIT, Shadows
from atonce.measure.side_channels import tracing
from atonce.measure.tracer import OpTracer, along
from atonce.shapes import Bool, Int, Shaped

Part = nn.Module | MethodType
"""A module, which runs by being called or by its `step`; or one method of one."""


@dataclass(frozen=True)
class Ticks:
    """When what each part gives is there, position by position."""

    by_part: Mapping[str, tuple[int, ...]]
    """In the order in which the parts first ended: the tick of each position."""
    runs: Mapping[str, int]
    """How often each ran."""
    result: tuple[int, ...]
    """The tick of each position of the result."""
    last: int
    """The last tick of all: the span."""


def ticks(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    parts: Mapping[str, Part],
    *,
    position_dim: int = 1,
) -> Ticks:
    """Call `function(*inputs)` and see when what the `parts` give is there.

    Of a part that gives several tensors the first counts. Its positions are along `position_dim`, or it is
    one position if it has no dimension after that; each further run adds positions after those before.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    shadows = Shadows(FIRST_PATH)
    tracer = OpTracer(shadows)
    seen: dict[str, list[int]] = {}
    runs: Counter[str] = Counter()

    def see(name: str, output: Shaped[Tensor, "*shape"]) -> None:
        runs[name] += 1
        seen.setdefault(name, []).extend(_latest(shadows, _placed(output, position_dim)))

    with _seeing(parts, see), tracing(tracer):
        result = tensors_in(function(*arguments))[0]
    last = _latest(shadows, result.movedim(along(result, position_dim), 0))
    return Ticks({name: tuple(found) for name, found in seen.items()}, dict(runs), tuple(last), tracer.span)


def cones(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    parts: Mapping[str, Part],
    *,
    position_dim: int = 1,
) -> dict[str, Bool[Tensor, "positions outputs"]]:
    """Which positions of each part go into each position of the result: its cone of dependence.

    What happens within one run of a part is not seen: of a recurrent layer that runs once over all positions,
    each position of the output counts as given by itself.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    lengths: Counter[str] = Counter()

    def count(name: str, output: Shaped[Tensor, "*shape"]) -> None:
        lengths[name] += _placed(output, position_dim).shape[0]

    # Run twice: how many channels there must be is known when all parts have run once.
    with torch.random.fork_rng(devices=[]), _seeing(parts, count):
        function(*arguments)
    ends = dict(zip(lengths, torch.tensor(list(lengths.values())).cumsum(0).tolist(), strict=True))
    starts = {name: ends[name] - lengths[name] for name in lengths}
    free = dict(starts)
    shadows = Shadows(FIRST_PATH + lengths.total())

    def mark(name: str, output: Shaped[Tensor, "*shape"]) -> None:
        shadow = shadows.of(output).clone()
        for place in _placed(shadow[FIRST_PATH:].movedim(0, -1), position_dim, output.dim()):
            place[..., free[name]] = 0  # what it was made of stays: it goes into whatever this goes into
            free[name] += 1
        shadows.write(output, shadow)

    # Marked where a part ends: from there on the channel of a position says what it goes into.
    with _seeing(parts, mark), tracing(OpTracer(shadows)):
        result = tensors_in(function(*arguments))[0]
    reached = shadows.of(result)[FIRST_PATH:].movedim(1 + along(result, position_dim), 1)
    inside = (reached != NOTHING).flatten(2).any(2)
    return {name: inside[starts[name] : ends[name]] for name in lengths}


def _latest(shadows: Shadows, places: Shaped[Tensor, " positions *_"]) -> list[int]:
    """The tick of each of the first dimension."""
    shadow = shadows.of(places)[UNIT].flatten(1)
    ticked: Int[Tensor, " positions"] = shadow.amax(1).clamp(min=0) // STEP
    return ticked.tolist()


def _placed(
    output: Shaped[Tensor, "*shape"], dim: int, dims: int | None = None
) -> Shaped[Tensor, " positions *_"]:
    """What a part gives, position by position. `dims`: of the output, where more were added behind."""
    return output.movedim(dim, 0) if (output.dim() if dims is None else dims) > dim + 1 else output[None]


@contextmanager
def _seeing(parts: Mapping[str, Part], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within the block, what each part gives is shown by its name; not what it gives itself on the way."""
    with ExitStack() as stack:
        for name, part in parts.items():
            running: list[str] = []
            for owner, method in _methods(part):
                stack.enter_context(_shown(owner, method, name, see, running))
        yield


@contextmanager
def _shown(
    owner: nn.Module, method: str, name: str, see: Callable[[str, Tensor], None], running: list[str]
) -> Iterator[None]:
    own, before = getattr(owner, method), vars(owner).get(method)

    def shown(*args: Any, **kwargs: Any) -> Any:
        running.append(method)
        try:
            result = own(*args, **kwargs)
        finally:
            running.pop()
        # Only the outermost: `forward` may call `step`, and a subclass its parent's `forward`.
        if not running:
            with DisableTorchFunction(), _disable_current_modes():  # to look is no part of the program
                see(name, tensors_in(result)[0])
        return result

    setattr(owner, method, shown)
    try:
        yield
    finally:
        # The class's own method is there again: an attribute of the instance had hidden it.
        delattr(owner, method)
        if before is not None:  # another part is of the same module
            setattr(owner, method, before)


def _methods(part: Part) -> list[tuple[nn.Module, str]]:
    if isinstance(part, nn.Module):
        return [(part, name) for name in ("forward", "step") if hasattr(part, name)]
    if not isinstance(part.__self__, nn.Module):
        raise TypeError(f"{part!r} is no method of a module")
    return [(part.__self__, part.__name__)]
