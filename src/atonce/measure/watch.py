"""Run a program and see, number by number, what waits for what."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from atonce.measure.call import Call, Waited, base_name
from atonce.measure.chain import Chains, called_from
from atonce.measure.rules import reductions
from atonce.measure.rules.table import rule_for
from atonce.measure.shadows import FIRST_PATH, NOTHING, PRAM, STEP, UNIT, Shadows, is_constant, later
from atonce.shapes import Int

_READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "is_nonzero", "equal"}
"""Operations after which Python knows a number, and may do something else because of it."""


class Watch(TorchDispatchMode):
    """Sees every operation of a program; what was found is in its attributes.

    What Python reads from a tensor, everything after it waits for: the program could not go on before.
    """

    def __init__(self, shadows: Shadows, chains: Chains | None = None) -> None:
        super().__init__()
        self.shadows = shadows
        self.chains = chains
        self.operations = 0
        self.work = 0
        self.products = 0
        self.unknown: Counter[str] = Counter()
        self.reads = 0
        self._read = torch.full((shadows.channels,), NOTHING)
        self._latest = torch.full((shadows.channels,), NOTHING)

    @property
    def span(self) -> int:
        """The longest chain so far, each tensor operation one step."""
        return max(0, int(self._latest[UNIT]) // STEP)

    @property
    def span_pram(self) -> int:
        """The longest chain so far, reductions over n being 1 + ⌈log2 n⌉ steps."""
        return max(0, int(self._latest[PRAM]) // STEP)

    @property
    def last_link(self) -> int:
        """Of the longest chain, to be followed with `chains`."""
        return max(0, int(self._latest[UNIT])) % STEP

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation, and let its results' shadows fall."""
        kwargs = kwargs or {}
        if _is_view(func):
            return func(*args, **kwargs)
        rule, reads = rule_for(func), base_name(func) in _READS
        if simpler := _simpler(func, described=rule is not None or reads):
            with self:
                return simpler(*args, **kwargs)
        before = self._as_they_were(func, args)
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        call = Call(func, before, kwargs, outputs, self.shadows)
        if reads:
            self.read(*call.tensors())
        if not outputs:
            return result
        if rule is None and not reads:
            self.unknown[func.name()] += 1
        waited = (rule or reductions.everything)(call)
        self._count(call, waited)
        for output, shadow in zip(outputs, waited.shadows, strict=True):
            self.shadows.write(output, self._after(call, shadow, waited.joined))
        return result

    def read(self, *tensors: Tensor) -> None:
        """Take note that Python has read these."""
        self.reads += 1
        for tensor in tensors:
            self._read = later(self._read, reductions.all_of(self.shadows.of(tensor)))

    def _as_they_were(self, func: OpOverload, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments, with a copy of what is going to be written over."""
        if not func._schema.is_mutable:
            return args
        written = {
            place
            for place, one in enumerate(func._schema.arguments)
            if one.alias_info is not None and one.alias_info.is_write and place < len(args)
        }
        return [self._copy(one) if place in written else one for place, one in enumerate(args)]

    def _copy(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        copy = value.detach().clone()
        self.shadows.write(copy, self.shadows.of(value))
        return copy

    def _count(self, call: Call, waited: Waited) -> None:
        if waited.joined is None:
            return
        self.operations += 1
        self.work += call.output.numel() * waited.joined if waited.work is None else waited.work
        self.products += waited.products

    def _after(
        self, call: Call, shadow: Int[Tensor, " channels *shape"], joined: int | None
    ) -> Int[Tensor, " channels *shape"]:
        """The shadow when the call itself has taken its steps."""
        floor = self._read.view(-1, *(1,) * (shadow.dim() - 1))
        shadow = torch.where(is_constant(shadow), NOTHING, later(shadow, floor))
        if joined is None:
            return shadow
        steps = torch.full((self.shadows.channels,), -STEP)
        steps[UNIT] = STEP
        steps[PRAM] = STEP * (1 + math.ceil(math.log2(max(1, joined))))
        after = torch.where(shadow == NOTHING, NOTHING, shadow + steps.view(floor.shape))
        if self.chains is not None:
            self.chains.extend(after, called_from(call.name))
        if after.numel():
            self._latest = later(self._latest, reductions.all_of(after))
        return after


class _Readings(TorchFunctionMode):
    """Sees what Python reads without an operation: lists and arrays made of tensors."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take note, and go on."""
        if func in (Tensor.tolist, Tensor.numpy, Tensor.__array__):
            self.watch.read(args[0])
        return func(*args, **(kwargs or {}))


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Within the block, `watch` sees all operations, and no fused kernel hides any from it."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)
        backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
        for backend in backends:
            stack.callback(setattr, backend, "enabled", backend.enabled)
            backend.enabled = False
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(watch)
        stack.enter_context(_Readings(watch))
        yield


def _is_view(func: OpOverload) -> bool:
    """Whether the results are the arguments, looked at otherwise. They have their shadows already."""
    returns = [one.alias_info for one in func._schema.returns]
    looks = bool(returns) and all(one is not None and not one.is_write for one in returns)
    return looks or torch.Tag.inplace_view in func.tags


def _simpler(func: OpOverload, *, described: bool) -> Callable[..., Any] | None:
    """The operation as the simpler ones it stands for, each of which is seen; None if it is to run itself.

    Where torch itself takes it apart, it is taken apart; else only where no rule describes it.
    """
    if func._can_decompose():
        return func.decompose
    return None if described else decomposition_table.get(func)


def shadow_paths(shadows: Shadows, tensor: Tensor, dim: int) -> Int[Tensor, "channels places"]:
    """For each path channel and each place along `dim`, the shortest chain to an element there, or -1."""
    shadow = shadows.of(tensor)[FIRST_PATH:]
    if tensor.dim() == 0:
        nearest = shadow[:, None]
    else:
        others = [1 + other for other in range(tensor.dim()) if other != dim]
        nearest = shadow.amax(others) if others else shadow
    return torch.where(nearest == NOTHING, -1, -(nearest // STEP))
