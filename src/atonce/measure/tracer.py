"""Run a program and see, number by number, what waits for what.

A dispatch mode sits below autograd: it sees the backward pass too, and fused functions as torch runs them.
"""

import math
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.distributions import Distribution
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    is_traceable_wrapper_subclass_type,
)
from torch.utils._pytree import tree_leaves

from atonce.errors import AtonceError
from atonce.measure.call import Call, Effect, base_name
from atonce.measure.chain import Chains, called_from
from atonce.measure.rules import masks, reductions
from atonce.measure.rules.decompositions import decomposed, run_by_body
from atonce.measure.rules.table import Rule, rule_for
from atonce.measure.shadows import (
    FIRST_PATH,
    NOTHING,
    PRAM,
    STEP,
    UNIT,
    Shadows,
    is_constant,
    is_far,
    is_low,
    later,
    latest,
    parts,
)
from atonce.measure.side_channels import side_channels_seen
from atonce.shapes import Int

_READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique_dim",
    "unique_consecutive", "_unique2", "_unique", "bincount", "_pack_padded_sequence",
}  # fmt: skip
"""Operations after which Python knows a number, and may do something else because of it: also of what shape
the results are."""


_OF_PYTHON = {"full", "scalar_tensor", "lift_fresh", "fill", "new_full", "full_like"}
"""Operations that make a tensor of Python's numbers."""


class OpTracer(TorchDispatchMode):
    """Sees every operation of a program; what was found is in its attributes.

    What Python reads from a tensor, everything after it waits for: the program could not go on before.
    """

    supports_higher_order_operators = True

    def __init__(self, shadows: Shadows, chains: Chains | None = None) -> None:
        super().__init__()
        self.shadows = shadows
        self.chains = chains
        self.operations = 0
        self.work = 0
        self.products = 0
        self.unknown: Counter[str] = Counter()
        self.wide: Counter[str] = Counter()
        self.reads = 0
        self.over = False
        """Whether the program has ended, though a thread that it began may go on."""
        self._lock = threading.RLock()
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
    def known(self) -> Int[Tensor, " channels"]:
        """How long what Python has read so far has waited."""
        return self._read

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
        kwargs = dict(kwargs or {})
        if isinstance(func, HigherOrderOperator):
            with self:
                return run_by_body(func, args, kwargs)
        if self.over:
            return func(*args, **kwargs)
        with self._lock:  # one operation after the other, of all threads
            return self._see(func, types, args, kwargs)

    def _see(
        self, func: OpOverload, types: Sequence[type], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        if types and any(map(is_traceable_wrapper_subclass_type, types)):
            return NotImplemented  # what it is made of comes by next
        if func.namespace == "prim":  # what a tensor is, no numbers
            return func(*args, **kwargs)
        plan = _plan(func)
        if plan.simpler is not None:
            with self:
                return plan.simpler(*args, **kwargs)
        if plan.is_view:  # of the same storage, whose shadow is there already
            return func(*args, **kwargs)
        before = self._as_they_were(func, args)  # what is written over is part of what the results wait for
        result = func(*args, **kwargs)
        leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        outputs = [part for leaf in leaves for part in parts(leaf)]
        given = {key: value for key, value in kwargs.items() if key not in plan.out}
        call = Call(func, before, given, outputs, self.shadows)
        if plan.reads:
            self.read(*call.read)
        if plan.written and not outputs:  # such as _foreach_add_, which gives nothing back
            call = Call(func, before, given, self._written(func, args), self.shadows)
        if not call.outputs:
            return result
        sparse = len(outputs) > len(leaves) or _any_sparse(args)
        waited = self._waited(call, plan, sparse=sparse)
        self._count(call, waited)
        for output, shadow in zip(call.outputs, waited.shadows, strict=True):
            self.shadows.write(output, self._after(call, shadow, waited.joined, waited.depth))
        # Real and imaginary halves that never meet: as one number each would wait for the other.
        if plan.rule is not None and not sparse and call.is_by_halves:
            self._write_halves(call, plan.rule)
        if waited.far is not None and call.output.is_floating_point():
            self.shadows.put_far(call.output, waited.far & is_far(call.output))
        for choice in masks.choices(call):
            self.shadows.put_choice(choice)
        return result

    def _write_halves(self, call: Call, rule: Rule) -> None:
        """Have each half of complex numbers wait for its own."""
        try:
            halves = []
            for half in (1, 0) if call.swaps_halves else (0, 1):
                self.shadows.half = half
                halves.append(rule(call))
            for half, waited in enumerate(halves):
                self.shadows.half = half
                shadow = self._after(call, waited.shadows[0], waited.joined, waited.depth)
                self.shadows.write(call.output, shadow)
        finally:
            self.shadows.half = None

    def read_before(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run what reads where to look, so that what is seen there waits for it."""
        places = [one for one in (*args[1:], *kwargs.values()) if isinstance(one, Tensor)]
        result = func(*args, **kwargs)
        if places:
            with _disable_current_modes():
                self.read(*places)
                for piece in result:
                    self.shadows.write(piece, later(self.shadows.of(piece), self._floor(piece.dim())))
        return result

    def _waited(self, call: Call, plan: "_Plan", *, sparse: bool) -> Effect:
        """What the rule of the operation says; the worst where there is none, or where it does not fit."""
        if plan.rule is not None and not sparse:
            try:
                waited = plan.rule(call)
                for output, shadow in zip(call.outputs, waited.shadows, strict=True):
                    shadow.expand(-1, *output.shape)
            except AtonceError:
                raise
            except Exception:  # torch has more ways to call its operations than rules have been written for
                self.unknown[call.operation.name()] += 1
                return reductions.everything(call)
            if waited.wide:
                self.wide[call.operation.name()] += 1
            elif waited.loses or (waited.loses is None and self._has_mask(call)) or masks.loses_choice(call):
                self.wide[f"{call.operation.name()} (of a mask)"] += 1
            return waited
        if sparse:
            self.wide[f"{call.operation.name()} (sparse)"] += 1
        elif plan.reads:
            self.wide[call.operation.name()] += 1
        else:
            self.unknown[call.operation.name()] += 1
        return reductions.everything(call)

    def _has_mask(self, call: Call) -> bool:
        """Whether a mask has put any of what went in far from zero."""
        far = [self.shadows.far(one) for one in call.tensors]
        return any(one is not None and bool(one.any()) for one in far)

    def read(self, *tensors: Tensor) -> None:
        """Take note that Python has read these. Constants, such as a mask, it would have known anyway."""
        waited = [reductions.all_of(self.shadows.of(tensor)) for tensor in tensors]
        if all(bool(is_constant(one)) for one in waited):
            return
        self.reads += 1
        self._read = later(self._read, *waited)
        self.shadows.know(self._read)

    def show(self, *tensors: Tensor) -> None:
        """Take note that Python has read these, and may write to their memory."""
        for tensor in tensors:
            try:
                self.read(tensor)
            except NotImplementedError:  # only a storage, with which nothing can be computed: from a file
                continue
            self.shadows.share(tensor)

    def _as_they_were(self, func: OpOverload, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments, with a copy of what is going to be written over."""
        written = _plan(func).written
        if not written:
            return args
        return [self._copy(one) if place in written else one for place, one in enumerate(args)]

    def _written(self, func: OpOverload, args: Sequence[Any]) -> list[Tensor]:
        """The tensors that were written over."""
        leaves = tree_leaves([one for place, one in enumerate(args) if place in _plan(func).written])
        return [part for leaf in leaves if isinstance(leaf, Tensor) for part in parts(leaf)]

    def _copy(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.layout is not torch.strided:
            return value
        copy = value.detach().clone()
        try:
            for half in (0, 1) if value.is_complex() else (None,):
                self.shadows.half = half
                self.shadows.write(copy, self.shadows.of(value))
        finally:
            self.shadows.half = None
        return copy

    def _floor(self, dims: int) -> Int[Tensor, " channels *ones"]:
        """What Python has read, to be laid over a shadow of so many dimensions."""
        return self._read.view(-1, *(1,) * dims)

    def _count(self, call: Call, waited: Effect) -> None:
        if waited.joined is None:
            return
        self.operations += 1
        self.work += call.output.numel() * waited.joined if waited.work is None else waited.work
        self.products += waited.products

    def _after(
        self, call: Call, shadow: Int[Tensor, " channels *shape"], joined: int | None, depth: int | None
    ) -> Int[Tensor, " channels *shape"]:
        """The shadow when the call itself has taken its steps."""
        floor = self._floor(shadow.dim() - 1)
        constant = is_constant(shadow)
        if call.name in _OF_PYTHON and self.reads and call.output.dtype != torch.bool:
            constant = constant & is_low(call.output)  # a number that may be what was read; no mask
        shadow = torch.where(constant, NOTHING, later(shadow, floor))
        if joined is None:
            return shadow
        steps = torch.full((self.shadows.channels,), -STEP)
        steps[UNIT] = STEP
        steps[PRAM] = STEP * (1 + math.ceil(math.log2(max(1, joined))) if depth is None else depth)
        after = torch.where(shadow == NOTHING, NOTHING, shadow + steps.view(floor.shape))
        if self.chains is not None:
            self.chains.extend(after, called_from(call.name))
        if after.numel():
            self._latest = later(self._latest, reductions.all_of(after))
        return after


@contextmanager
def tracing(tracer: OpTracer) -> Iterator[None]:
    """Within the block, `tracer` sees all operations, and no fused kernel hides any from it."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        # A fused kernel is one operation to the dispatcher: a whole recurrent layer, or attention, would
        # count as one step in which everything waits for everything. So it is to run as its parts.
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)
        backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
        for backend in backends:
            stack.callback(_enable, backend, backend.enabled)
            _enable(backend, False)
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        # Whether arguments are valid a program reads only to raise an error.
        stack.callback(Distribution.set_default_validate_args, Distribution._validate_args)
        Distribution.set_default_validate_args(False)
        if "torch._dynamo" in sys.modules:  # what is compiled runs as it is written
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(side_channels_seen(tracer))
        try:
            yield
        except NotImplementedError as error:
            raise AtonceError(
                "the program calls what torch cannot run on this machine without compiling it",
                why=str(error).strip().splitlines()[0],
                fix="measure the same computation written with other operations, or without gradients",
            ) from error


def _enable(backend: Any, enabled: bool) -> None:
    """Also where the program has frozen torch's flags (`torch.backends.disable_global_flags`)."""
    with torch.backends.__allow_nonbracketed_mutation():
        backend.enabled = enabled


def _any_sparse(values: Sequence[Any]) -> bool:
    return any(
        value.layout is not torch.strided if isinstance(value, Tensor)
        else isinstance(value, list | tuple) and _any_sparse(value)
        for value in values
    )  # fmt: skip


class _Plan(NamedTuple):
    """What is to be done about an operation, whenever it is called."""

    simpler: Callable[..., Any] | None
    """The simpler operations it stands for, each of which is seen; None if it is to run itself."""
    is_view: bool
    """Whether the results are the arguments, looked at otherwise. They have their shadows already."""
    rule: Rule | None
    reads: bool
    """Whether the program knows its arguments afterwards."""
    written: frozenset[int]
    """The places of arguments that are written over."""
    out: frozenset[str]
    """The names of arguments that are there to be written to."""


@cache
def _plan(func: OpOverload) -> _Plan:
    """Where torch itself takes an operation apart, so do we; else only where no rule describes it."""
    rule, reads, schema = rule_for(func), base_name(func) in _READS, func._schema
    described = rule is not None or reads
    returns = [one.alias_info for one in schema.returns]
    looks = bool(returns) and all(one is not None and not one.is_write for one in returns)
    is_view = looks or torch.Tag.inplace_view in func.tags
    writes = [one.alias_info is not None and one.alias_info.is_write for one in schema.arguments]
    return _Plan(
        # First of all: reshape, to, contiguous say that they look, but may copy.
        simpler=func.decompose
        if func._can_decompose()
        else None
        if described or is_view
        else decomposed(func),
        is_view=is_view,
        rule=rule,
        reads=reads,
        written=frozenset(place for place, written in enumerate(writes) if written),
        out=frozenset(one.name for one in schema.arguments if one.is_out),
    )


def along(tensor: Tensor, position_dim: int) -> int:
    """The dimension of the positions: the last, if there are fewer."""
    return position_dim % max(1, tensor.dim()) if position_dim < 0 else min(position_dim, tensor.dim() - 1)


def shadow_paths(
    shadows: Shadows, tensor: Tensor, dim: int, floor: Int[Tensor, " all_channels"]
) -> Int[Tensor, "channels places"]:
    """For each path channel and each place along `dim`, the shortest chain to an element there, or -1.

    `floor`: what it waits for where no chain of operations leads there.
    """
    shadow = shadows.of(tensor)[FIRST_PATH:]
    if tensor.dim() == 0:
        nearest = shadow[:, None]
    else:
        others = [1 + other for other in range(tensor.dim()) if other != dim]
        nearest = latest(shadow, others)
    nearest = torch.where(nearest == NOTHING, floor[FIRST_PATH:, None], nearest)
    return torch.where(nearest == NOTHING, -1, -(nearest // STEP))
