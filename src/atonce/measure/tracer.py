"""Tracing: what waits for what in a program, number by number, while it runs.

A dispatch mode sits below autograd: it sees the backward pass too, and fused functions as torch runs them.
"""
# Not a graph of torch.fx or torch.export: these fix the branches and loops that depend on numbers, and not
# every program can be made into one.

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    is_traceable_wrapper_subclass_type,
)

from atonce.errors import AtonceError
from atonce.measure.call import Call, Effect, base_name, tensors_in
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
from atonce.shapes import Int, Shaped

_READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique_dim",
    "unique_consecutive", "_unique2", "_unique", "bincount", "_pack_padded_sequence",
}  # fmt: skip
"""Operations after which Python knows a number, and may act on it: also a shape that depends on numbers."""


_OF_PYTHON = {"full", "scalar_tensor", "lift_fresh", "fill", "new_full", "full_like"}
"""Operations that make a tensor of Python's numbers. These may have been read from a tensor before: then the
result is no constant."""


class OpTracer(TorchDispatchMode):
    """Sees every operation of a program; the counts are its attributes.

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
            with self:  # torch has taken the mode off while it is here
                return run_by_body(func, args, kwargs)
        # A thread that outlives the program: what it computes is no part of what was asked.
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
        # Its parts come by one after another: closer than any rule for the whole could be.
        if plan.simpler is not None:
            with self:
                return plan.simpler(*args, **kwargs)
        if plan.is_view:  # of the same storage, whose shadow is there already
            return func(*args, **kwargs)
        before = self._as_they_were(func, args)  # what is written over is part of what the results wait for
        result = func(*args, **kwargs)
        leaves = tensors_in(result)
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
        """Run what reads places from a tensor, and make its results wait for that tensor."""
        places = [one for one in (*args[1:], *kwargs.values()) if isinstance(one, Tensor)]
        result = func(*args, **kwargs)
        if places:
            with _disable_current_modes():
                self.read(*places)
                for piece in result:
                    self.shadows.write(piece, later(self.shadows.of(piece), self._floor(piece.dim())))
        return result

    def _waited(self, call: Call, plan: "_Plan", *, sparse: bool) -> Effect:
        """The effect by the rule of the operation; the worst case where there is none, or it does not fit."""
        # The worst case and never the best: a span may then be too long, but not too short, and it is named.
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
        """Record that Python has read these. Constants, such as a mask, are known anyway."""
        waited = [reductions.all_of(self.shadows.of(tensor)) for tensor in tensors]
        if all(bool(is_constant(one)) for one in waited):
            return
        self.reads += 1
        self._read = later(self._read, *waited)
        self.shadows.know(self._read)

    def show(self, *tensors: Tensor) -> None:
        """Record that Python has read these, and may write to their memory."""
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
        written = [one for place, one in enumerate(args) if place in _plan(func).written]
        return [part for leaf in tensors_in(written) for part in parts(leaf)]

    def _copy(self, value: Any) -> Any:
        # With its shadow: `a.add_(b)` waits for what `a` was, which is gone once it has run.
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
        """What Python has read, to be broadcast over a shadow of so many dimensions."""
        return self._read.view(-1, *(1,) * dims)

    def _count(self, call: Call, waited: Effect) -> None:
        if waited.joined is None:  # moving numbers is neither work nor a step, as in Table 1 of Vaswani 2017
            return
        self.operations += 1
        self.work += call.output.numel() * waited.joined if waited.work is None else waited.work
        self.products += waited.products

    def _after(
        self, call: Call, shadow: Int[Tensor, " channels *shape"], joined: int | None, depth: int | None
    ) -> Int[Tensor, " channels *shape"]:
        """The shadow after the steps of the call itself."""
        floor = self._floor(shadow.dim() - 1)
        constant = is_constant(shadow)
        if call.name in _OF_PYTHON and self.reads and call.output.dtype != torch.bool:
            constant = constant & is_low(call.output)  # a number that may be what was read; no mask
        shadow = torch.where(constant, NOTHING, later(shadow, floor))
        if joined is None:
            return shadow
        # Negated in the channels of paths, where the greater number is the shorter chain (`shadows`).
        steps = torch.full((self.shadows.channels,), -STEP)
        steps[UNIT] = STEP
        steps[PRAM] = STEP * (1 + math.ceil(math.log2(max(1, joined))) if depth is None else depth)
        after = torch.where(shadow == NOTHING, NOTHING, shadow + steps.view(floor.shape))
        if self.chains is not None:
            self.chains.extend(after, called_from(call.name))
        # An empty tensor has no greatest element, and nothing waits for it.
        if after.numel():
            self._latest = later(self._latest, reductions.all_of(after))
        return after


def _any_sparse(values: Sequence[Any]) -> bool:
    return any(
        value.layout is not torch.strided if isinstance(value, Tensor)
        else isinstance(value, list | tuple) and _any_sparse(value)
        for value in values
    )  # fmt: skip


class _Plan(NamedTuple):
    """What is done with an operation, whenever it is called."""

    simpler: Callable[..., Any] | None
    """The simpler operations it stands for, each of which is seen; None if it is to run itself."""
    is_view: bool
    """Whether the results are views of the arguments. They have their shadows already."""
    rule: Rule | None
    reads: bool
    """Whether the program knows numbers of its arguments afterwards."""
    written: frozenset[int]
    """The places of arguments that are written over."""
    out: frozenset[str]
    """The names of arguments that are there to be written to."""


@cache  # a training step calls a few dozen operations thousands of times
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


def along(tensor: Shaped[Tensor, "*shape"], position_dim: int) -> int:
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
