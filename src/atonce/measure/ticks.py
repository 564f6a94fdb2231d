"""The earliest tick at which each part of a program can be computed, and what it takes in.

A tick is a step of the longest chain: with as many processors as wanted, all that has the same tick is
computed at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from atonce.measure.shadows import FIRST_PATH, NOTHING, STEP, UNIT, Shadows
from atonce.measure.watch import Watch, watching
from atonce.shapes import Bool, Int


@dataclass(frozen=True)
class Ticks:
    """When the states of each layer are there, position by position."""

    by_layer: Mapping[str, tuple[int, ...]]
    """For each module that was asked about, in the order in which they ended: the tick of each position."""
    runs: Mapping[str, int]
    """How often each ran."""
    last: int
    """The last tick of all: the span."""


def ticks(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    modules: Mapping[str, nn.Module],
    *,
    position_dim: int = 1,
) -> Ticks:
    """Call `function(*inputs)` and see when what the `modules` give is there.

    Of a module that gives several tensors the first counts; of one that runs several times, each run is a
    position after those of the run before.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    shadows = Shadows(FIRST_PATH)
    watch = Watch(shadows)
    seen: dict[str, list[int]] = {}
    runs: Counter[str] = Counter()

    def see(name: str, output: Tensor) -> None:
        runs[name] += 1
        seen.setdefault(name, []).extend(_latest(shadows, output, position_dim).tolist())

    with _hooked(modules, see), watching(watch):
        function(*arguments)
    return Ticks({name: tuple(found) for name, found in seen.items()}, dict(runs), watch.span)


def cone(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    modules: Mapping[str, nn.Module],
    position: int,
    *,
    position_dim: int = 1,
) -> dict[str, Bool[Tensor, " positions"]]:
    """Which positions of each module's output go into one position of the result: its cone of dependence."""
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    found = {}
    for name, module in modules.items():
        found[name] = _into(function, arguments, name, module, position, position_dim)
    return found


def _into(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    name: str,
    module: nn.Module,
    position: int,
    dim: int,
) -> Bool[Tensor, " positions"]:
    lengths: list[int] = []

    def count(_: str, output: Tensor) -> None:
        lengths.append(output.shape[min(dim, output.dim() - 1)])

    with torch.random.fork_rng(devices=[]), _hooked({name: module}, count):
        function(*arguments)
    shadows = Shadows(FIRST_PATH + lengths[0])

    def mark(_: str, output: Tensor) -> None:
        own = min(dim, output.dim() - 1)
        places = torch.arange(lengths[0]).view(-1, *(1,) * (output.dim() - 1 - own)).expand(output.shape)
        shadows.begin_paths(output, places)

    with _hooked({name: module}, mark), watching(Watch(shadows)):
        result = function(*arguments)
    output = next(one for one in tree_leaves(result) if isinstance(one, Tensor))
    chosen = shadows.of(output)[FIRST_PATH:].select(1 + min(dim, output.dim() - 1), position)
    return (chosen != NOTHING).flatten(1).any(1)


def _latest(shadows: Shadows, output: Tensor, dim: int) -> Int[Tensor, " positions"]:
    shadow = shadows.of(output)[UNIT].movedim(min(dim, output.dim() - 1), 0).flatten(1)
    return shadow.amax(1).clamp(min=0) // STEP


@contextmanager
def _hooked(modules: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within the block, what each module gives is shown by its name."""
    with ExitStack() as stack:
        for name, module in modules.items():

            def shown(_: nn.Module, __: Any, result: Any, name: str = name) -> None:
                with DisableTorchFunction(), _disable_current_modes():  # to look is no part of the program
                    see(name, next(one for one in tree_leaves(result) if isinstance(one, Tensor)))

            stack.enter_context(module.register_forward_hook(shown))
        yield
