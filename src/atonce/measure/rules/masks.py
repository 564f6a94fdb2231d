"""Masks: numbers far from zero, and what operations make of them.

A number is far if it is something moderate plus a constant of 5,000 or more, or of -5,000 or less: what a
softmax then gives a weight of exactly zero is closed. Which operations make numbers far, and what they make
of them, is not listed but tried out: each is run again with other numbers in place of those that are not
fixed.
"""
# Programs mask in many ways: by -inf, -1e9 or -1e4, added, subtracted, filled in, chosen by `where`, clamped.
# A list of forms would miss some, and then every position would seem to see every other.

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from atonce.measure.call import Call
from atonce.measure.shadows import FAR, NOTHING, is_constant, is_far, is_unmarked, latest
from atonce.shapes import Bool, Int, Shaped

Places = Bool[Tensor, "*#shape"]

NEAR = FAR / 2
"""The bound of moderate numbers."""

_MODERATE: Sequence[Callable[[Tensor], Tensor]] = (
    lambda a: torch.zeros_like(a),
    lambda a: -a,
    lambda a: 2 * a + 1,
    lambda a: a + FAR / 5,
    lambda a: a - FAR / 5,
)
"""Replacements of a number that is not fixed."""

_FAR = (37.0, -61.0, FAR / 5, -FAR / 5, 0.5)
"""Shifts of a number that is far, one for each of `_MODERATE`."""


class Outcome(NamedTuple):
    """What an operation on single numbers makes of masks."""

    idle: Sequence[tuple[Tensor, Places]]
    """Arguments, and where they are so far that they change nothing."""
    decided: Places
    """Where the result is as far as numbers go, whatever the others are."""
    far: Places
    """Where the result is far itself."""


def outcome(call: Call) -> Outcome | None:
    """Try out what an operation on single numbers makes of masks; None if there are none.

    Raises whatever torch does where it cannot be run again.
    """
    # Most operations have no masks: they are not run again, which would take several times as long.
    any_far = any(call.shadows.far(one) is not None for one in call.tensors)
    if not any_far and not (call.output.is_floating_point() and bool(is_far(call.output).any())):
        return None
    if any(one.is_complex() for one in call.tensors):
        return None
    return _Trial(call).outcome()


class _Trial:
    """An operation that is run again, with other arguments."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.output = call.output.detach()
        self.moving: dict[int, Places] = {}
        """By argument: where its numbers can differ from run to run."""
        self.far: dict[int, Places] = {}
        """By argument: where these are far."""
        for one in call.tensors:
            shadow = call.shadow(one)
            self.moving[id(one)] = ~(is_constant(shadow) | is_unmarked(shadow))
            # A constant stays as it is in every try: it is what makes numbers far.
            found = call.shadows.far(one)
            if found is not None:
                self.far[id(one)] = found & self.moving[id(one)]

    def outcome(self) -> Outcome:
        idle = []
        for one in {id(one): one for one in self.call.tensors if id(one) in self.far}.values():
            idle.append((one, self.far[id(one)] & self._changes_nothing(one)))
        changed = [self._run(step, step) for step in range(len(_FAR))]
        same = _all(_equal(self.output, one) for one in changed)
        decided = same & _is_endless(self.output)
        far = torch.zeros((), dtype=torch.bool)
        if self.output.is_floating_point():
            far = is_far(self.output) & _all(_stays(self.output, one) for one in changed)
        return Outcome(idle, decided, far)

    def _changes_nothing(self, one: Shaped[Tensor, "*shape"]) -> Places:
        tries = [_equal(self._run(step, None), self._run(step, step, only=one)) for step in range(len(_FAR))]
        # One that comes as near to another argument as it can: what is compared with it changes there.
        for other in (*self.call.args, *self.call.kwargs.values()):
            if other is one or isinstance(other, bool) or not isinstance(other, Tensor | int | float):
                continue
            for aside in (-1, 0, 1):
                tries.append(_equal(self.output, self._run(None, None, only=one, to=other, aside=aside)))
        return _all(tries)

    def _run(
        self,
        others: int | None,
        far: int | None,
        *,
        only: Tensor | None = None,
        to: Any = None,
        aside: int = 0,
    ) -> Tensor:
        """The first result with numbers replaced that may be others; of those that are far, `only` one."""

        def replaced(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            moving, is_there = self.moving[id(value)], self.far.get(id(value))
            given = value.detach()
            new = given if others is None else _moderate(given, others)
            if is_there is not None:
                shifted = given
                if only is None or only is value:
                    shifted = given if far is None else given + _FAR[far]
                    if to is not None:
                        shifted = torch.where((to - given).abs() <= NEAR, to + aside, given)
                # An infinite number stays: plus anything it is the same.
                shifted = (
                    torch.where(shifted.isinf(), given, shifted) if shifted.is_floating_point() else shifted
                )
                new = torch.where(is_there, shifted.to(given.dtype), new)
            return torch.where(moving, new, given)

        args, kwargs = tree_map(replaced, (list(self.call.args), dict(self.call.kwargs)))
        found = self.call.function(*args, **kwargs)
        return found if isinstance(found, Tensor) else next(one for one in found if isinstance(one, Tensor))


def _moderate(tensor: Shaped[Tensor, "*shape"], step: int) -> Shaped[Tensor, "*shape"]:
    if tensor.dtype == torch.bool:
        return tensor.logical_not()
    return _MODERATE[step](tensor).to(tensor.dtype)


def _equal(one: Shaped[Tensor, "*shape"], other: Shaped[Tensor, "*shape"]) -> Places:
    same = one == other
    return same | (one.isnan() & other.isnan()) if one.is_floating_point() else same


def _stays(one: Shaped[Tensor, "*shape"], other: Shaped[Tensor, "*shape"]) -> Places:
    """Where a number is as far as before, and on the same side of zero."""
    size, before = other.abs(), one.abs()
    near = (size >= before / 2) & ((size <= 2 * before) | other.isinf())
    return (one == other) | (near & (one.sign() == other.sign()))


def _is_endless(tensor: Shaped[Tensor, "*shape"]) -> Places:
    """So far that nothing is added to it."""
    if not tensor.is_floating_point():
        return torch.zeros((), dtype=torch.bool)
    return tensor.abs() >= torch.finfo(tensor.dtype).max / 2


def _all(places: Any) -> Places:
    found = torch.ones((), dtype=torch.bool)
    for one in places:
        found = found & one
    return found


def far_of(call: Call, value: Any) -> Places:
    """Where a tensor or a number is far, as something plus a constant or as a constant itself."""
    if not isinstance(value, Tensor):
        return torch.tensor(isinstance(value, int | float) and abs(value) >= FAR)
    found = call.masked(value)
    return torch.zeros((), dtype=torch.bool) if found is None else found


def chosen(call: Call, condition: Places, if_true: Any, if_false: Any) -> tuple[Places | None, bool]:
    """Where a far number is chosen, and whether one may be chosen where another number may be, too."""
    if not any(isinstance(one, Tensor) and call.shadows.far(one) is not None for one in (if_true, if_false)):
        return None, False
    one, other = far_of(call, if_true), far_of(call, if_false)
    waits = call.shadow(condition)
    fixed = is_constant(waits) | is_unmarked(waits)
    far = torch.where(fixed, torch.where(condition.bool(), one, other), one & other)
    return far.expand(call.output.shape), bool((~fixed & (one ^ other)).any())


class Groups(NamedTuple):
    """Numbers by where a mask has put them: far below the others, among them, or far above."""

    each: Int[Tensor, "*shape"]
    """-1, 0 or 1."""

    @classmethod
    def of(cls, call: Call, tensor: Shaped[Tensor, "*shape"]) -> "Groups | None":
        """None if no mask has put anything anywhere."""
        masked = call.masked(tensor)
        if masked is None:
            return None
        return cls(torch.where(masked, tensor.detach().sign(), torch.zeros_like(tensor)).to(torch.int8))

    def amax(self, dims: Sequence[int]) -> Int[Tensor, "*kept"]:
        """The group of the greatest along `dims`, which are kept with a size of 1."""
        return self.each.amax(list(dims), keepdim=True)

    def amin(self, dims: Sequence[int]) -> Int[Tensor, "*kept"]:
        """The group of the least."""
        return self.each.amin(list(dims), keepdim=True)

    def waited(
        self, shadow: Int[Tensor, " channels *shape"], dim: int, chosen: Tensor
    ) -> Int[Tensor, " channels *_"]:
        """What results wait for that are each one of the numbers along `dim`, of the group `chosen`."""
        found = torch.full((len(shadow), *chosen.shape), NOTHING)
        for group in (-1, 0, 1):
            row = latest(torch.where(self.each == group, shadow, NOTHING), 1 + dim, keepdim=True)
            found = torch.where(chosen == group, row, found)
        return found


def spread(places: Places, call: Call) -> Places | None:
    """Over all of a result; None if nowhere."""
    return places.expand(call.output.shape) if places.any() else None


_CHOOSE = {"argmax", "argmin", "max", "min", "sort", "topk", "multinomial", "kthvalue", "median", "nanmedian"}
_CARRY = {"clone", "_to_copy", "copy", "cat", "stack", "repeat", "flip", "roll", "constant_pad_nd", "where"}
_LOOK_UP = {"embedding", "gather", "index_select", "take", "index", "_unsafe_index"}


def choices(call: Call) -> Iterator[Int[Tensor, "*shape"]]:
    """Results that are places among numbers of which a mask has closed some: those are never named."""
    # So a token that greedy search chooses among masked scores does not wait for the masked ones.
    whole = [one for one in call.outputs if one.dtype == torch.int64]
    if not whole:
        return
    if call.name in _CHOOSE and call.args[0].is_floating_point():
        shadow = call.shadow(call.args[0])
        closed = is_constant(shadow)
        masked = call.masked(call.args[0])
        closed = closed if masked is None else closed | masked
        if closed.any() and not closed.all():
            yield from whole
    elif call.name in _CARRY | _LOOK_UP or torch.Tag.pointwise in call.operation.tags:
        places = call.args[1:] if call.name in _LOOK_UP else ()
        of = [one for one in call.tensors if not any(one is place for place in tree_leaves(places))]
        if any(call.shadows.is_choice(one) for one in of):
            yield from whole


def loses_choice(call: Call) -> bool:
    """Whether more becomes of such places than is looked up there, so that what is never named waits, too."""
    chosen = [one for one in call.tensors if call.shadows.is_choice(one)]
    if not chosen or call.name in _CARRY | _LOOK_UP:
        return False
    if torch.Tag.pointwise in call.operation.tags:  # each for itself; or compared with all that there are
        return call.output.numel() > max(one.numel() for one in chosen)
    return True
