"""Shadow memory: beside every number that a program computes, how long it had to wait.

A shadow has the shape of its tensor and a leading dimension of channels, each of which counts something else:

| channel | counts |
| --- | --- |
| `UNIT` | the longest chain of operations up to this element, each tensor operation one step |
| `PRAM` | the same, a reduction over n being 1 + ⌈log2 n⌉ steps (on unboundedly many processors) |
| `FIRST_PATH` and on | the shortest chain from one marked position of the input, negated |

So in every channel waiting for two things is the greater of two numbers, and one algebra does for all: for
chains it is (max, +), for paths (min, +) turned upside down.
"""

import gc
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes

from atonce.errors import AtonceError
from atonce.shapes import Bool, Int, Shaped

UNIT, PRAM, FIRST_PATH = 0, 1, 2

NOTHING = -(2**62)
"""The shadow of what depends on no input (in a path's channel: on nothing at the marked position)."""

STEP = 2**32
"""One step. The digits below it are free for the number of the chain's last operation (`chain.py`)."""


class _Kept(NamedTuple):
    """The shadow of a storage, and what tells whether the storage is still the one it belongs to."""

    alive: StorageWeakRef
    itemsize: int
    shadow: Int[Tensor, " channels elements"] | Bool[Tensor, " one elements"]


class Shadows:
    """The shadows of all tensors, kept by storage.

    A view of a tensor has the same view of its shadow, whichever operation made it; and what is written
    through a view is written to the shadow of all others. So views need no rules.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._kept: dict[int, _Kept] = {}
        self._far: dict[int, _Kept] = {}
        self._limit = 1024
        self._known: Int[Tensor, " channels"] | None = None
        self._before: dict[int, StorageWeakRef] = {}
        self._shared: dict[int, StorageWeakRef] = {}
        self._choices: dict[int, StorageWeakRef] = {}
        self.half: int | None = None
        """Which halves of complex numbers are asked for and written: real (0), imaginary (1), or both."""

    def of(self, tensor: Tensor) -> Int[Tensor, " channels *shape"]:
        """The shadow of `tensor`, for reading only; `write` changes it.

        A tensor that was never seen was there before the program began: an input or a weight, which waited
        for nothing but can be anything. But truth values and numbers far below zero are masks: constants. Of
        a sparse tensor each element waits for whatever any of it waits for.
        """
        if tensor.layout is not torch.strided or tensor.is_nested:
            waited = torch.stack([self.of(part).flatten(1).amax(1) for part in parts(tensor) if part.numel()])
            return waited.amax(0).view(-1, *(1,) * tensor.dim()).expand(-1, *tensor.shape)
        # By storage and not by tensor: a view, or `detach`, is another tensor of the same numbers.
        storage = tensor.untyped_storage()
        kept = self._kept.get(storage._cdata)
        if kept is None:
            kept = self._keep(tensor, self._given(tensor))
        elif kept.itemsize * kept.shadow.shape[1] + kept.itemsize <= storage.nbytes():  # it was made larger
            kept = self._grown(tensor, kept)
        if kept.itemsize > tensor.itemsize:  # the halves of complex numbers
            kept = self._keep(tensor, kept.shadow.repeat_interleave(kept.itemsize // tensor.itemsize, 1))
        if storage._cdata in self._shared and self._known is not None:
            known = torch.maximum(kept.shadow, self._known[:, None])
            kept = self._keep(tensor, known, itemsize=kept.itemsize)
        if kept.itemsize == tensor.itemsize:
            return self._viewed(kept.shadow, tensor)
        each = tensor.itemsize // kept.itemsize  # numbers made of several: any of them may be in it
        if each == 2 and self.half is not None and tensor.is_complex():
            return self._viewed(kept.shadow[:, self.half :: 2], tensor)
        whole = kept.shadow[:, : kept.shadow.shape[1] // each * each]
        return self._viewed(whole.unflatten(1, (-1, each)).amax(2), tensor)

    def write(self, tensor: Tensor, shadow: Int[Tensor, " channels *shape"]) -> None:
        """Give the elements of `tensor` this shadow."""
        if tensor.layout is not torch.strided or tensor.is_nested:
            for part in parts(tensor):
                self.write(part, latest(shadow.flatten(1), 1).view(-1, *(1,) * part.dim()))
            return
        for dim, step in enumerate(tensor.stride()) if 0 in tensor.stride() else ():
            if (
                step == 0 and tensor.shape[dim] > 1
            ):  # an element that is shown several times waits for whatever any of them does
                shadow = shadow.expand(-1, *tensor.shape).amax(1 + dim, keepdim=True)
                tensor = tensor.detach().narrow(dim, 0, 1)
        storage = tensor.untyped_storage()
        kept = self._kept.get(storage._cdata)
        if kept is None:
            kept = self._keep(tensor, torch.full((self.channels, _elements(tensor)), NOTHING))
        elif kept.itemsize * kept.shadow.shape[1] + kept.itemsize <= storage.nbytes():
            kept = self._grown(tensor, kept)
        if kept.itemsize > tensor.itemsize:
            kept = self._keep(tensor, kept.shadow.repeat_interleave(kept.itemsize // tensor.itemsize, 1))
        one_half = self.half if tensor.is_complex() else None
        if one_half is not None and kept.itemsize == tensor.itemsize:
            kept = self._keep(tensor, kept.shadow.repeat_interleave(2, 1), itemsize=kept.itemsize // 2)
        each = tensor.itemsize // kept.itemsize
        if one_half is not None and each == 2:
            self._viewed(kept.shadow[:, one_half::2], tensor).copy_(shadow)
        elif each == 1:
            self._viewed(kept.shadow, tensor).copy_(shadow)
        else:
            for first in range(each):
                self._viewed(kept.shadow[:, first::each], tensor).copy_(shadow)
        if self._far:
            self.put_far(tensor, torch.tensor(False))

    def mark(self, tensor: Tensor, positions: Int[Tensor, "*shape"]) -> None:
        """Make `tensor` an input: it waited for nothing, and paths begin at its elements.

        Each in the channel of its position, counted from 0.
        """
        shadow = torch.zeros((self.channels, *tensor.shape), dtype=torch.int64)
        channels = torch.arange(self.channels - FIRST_PATH).view(-1, *(1,) * tensor.dim())
        shadow[FIRST_PATH:] = torch.where(channels == positions, 0, NOTHING)
        self.write(tensor, shadow)

    def put_far(self, tensor: Tensor, where: Bool[Tensor, "*#shape"]) -> None:
        """Record where `tensor` is something plus a constant far from zero, and where it is not."""
        storage = tensor.untyped_storage()
        kept = self._far.get(storage._cdata)
        if kept is None or kept.itemsize != tensor.itemsize:
            if not where.any():
                return
            far = torch.zeros((1, _elements(tensor)), dtype=torch.bool)
            kept = self._far[storage._cdata] = _Kept(StorageWeakRef(storage), tensor.itemsize, far)
            if len(self._far) > 64:  # few tensors are masked: swept often enough to stay small
                self._far = {key: one for key, one in self._far.items() if not one.alive.expired()}
        self._viewed(kept.shadow, tensor).copy_(where)

    def far(self, tensor: Tensor) -> Bool[Tensor, "*shape"] | None:
        """Where `tensor` is something plus a constant far from zero, as masks make it; None if nowhere."""
        if not self._far or tensor.layout is not torch.strided:
            return None
        kept = self._far.get(tensor.untyped_storage()._cdata)
        if kept is None or kept.itemsize != tensor.itemsize:
            return None
        return self._viewed(kept.shadow, tensor)[0].clone()

    def put_choice(self, tensor: Int[Tensor, "*shape"]) -> None:
        """Record that `tensor` holds places, of which some are never named: a mask has closed them."""
        storage = tensor.untyped_storage()
        self._choices[storage._cdata] = StorageWeakRef(storage)
        if len(self._choices) > 64:
            self._choices = {key: one for key, one in self._choices.items() if not one.expired()}

    def is_choice(self, tensor: Shaped[Tensor, "*shape"]) -> bool:
        """Whether `put_choice` was called with it, or with a tensor of the same storage."""
        if not self._choices or tensor.layout is not torch.strided:
            return False
        return tensor.untyped_storage()._cdata in self._choices

    def know(self, known: Int[Tensor, " channels"]) -> None:
        """Record how long what Python has read had to wait.

        Tensors that are first seen from now on may have been made of it, if they were not there before.
        """
        # Through gc, once: torch keeps no list of its tensors.
        if self._known is None:
            kinds = {Tensor, *_subclasses(Tensor)}
            for one in gc.get_objects():
                if type(one) in kinds and one.layout is torch.strided and not one.is_nested:
                    storage = one.untyped_storage()
                    self._before[storage._cdata] = StorageWeakRef(storage)
        self._known = known

    def share(self, tensor: Shaped[Tensor, "*shape"]) -> None:
        """Record that others may write what they have read to the memory of `tensor`."""
        for part in parts(tensor):
            storage = part.untyped_storage()
            self._shared[storage._cdata] = StorageWeakRef(storage)

    def _given(self, tensor: Tensor) -> Int[Tensor, " channels elements"]:
        shadow = torch.full((self.channels, _elements(tensor)), NOTHING)
        if tensor.dtype != torch.bool:
            # All of the storage, whatever part of it this tensor is, and however often it shows an element.
            whole = tensor.detach().as_strided((shadow.shape[1],), (1,), 0)
            shadow[:FIRST_PATH] = torch.where(is_low(whole) & whole.is_floating_point(), NOTHING, 0)
        storage = tensor.untyped_storage()
        is_new = self._known is not None and storage._cdata not in self._before
        if is_new or not storage.resizable():  # or the memory is another library's
            self.share(tensor)
        return shadow

    def _grown(self, tensor: Shaped[Tensor, "*shape"], kept: _Kept) -> _Kept:
        """Of a storage that was made larger: what was there stays, and the rest is empty."""
        size = tensor.untyped_storage().nbytes() // kept.itemsize
        shadow = torch.full((self.channels, size), NOTHING)
        shadow[:, : kept.shadow.shape[1]] = kept.shadow
        grown = self._kept[tensor.untyped_storage()._cdata] = kept._replace(shadow=shadow)
        return grown

    def _keep(
        self, tensor: Tensor, shadow: Int[Tensor, " channels elements"], *, itemsize: int | None = None
    ) -> _Kept:
        storage = tensor.untyped_storage()
        # The weak reference keeps the storage's address from being used again while we go by it.
        kept = self._kept[storage._cdata] = _Kept(
            StorageWeakRef(storage), itemsize or tensor.itemsize, shadow
        )
        if len(self._kept) > self._limit:  # swept when it has doubled: a storage costs the same, however many
            self._kept = {key: one for key, one in self._kept.items() if not one.alive.expired()}
            self._limit = max(1024, 2 * len(self._kept))
        return kept

    def _viewed(
        self, shadow: Int[Tensor, " channels elements"] | Bool[Tensor, " one elements"], tensor: Tensor
    ) -> Tensor:
        apart, first = shadow.stride(1), tensor.storage_offset()
        stride = tensor.stride()
        if apart != 1:  # one part of each number
            stride, first = tuple(apart * step for step in stride), shadow.storage_offset() + apart * first
        return shadow.as_strided((shadow.shape[0], *tensor.shape), (shadow.stride(0), *stride), first)


def _subclasses(kind: type) -> set[type]:
    """All classes below one, however deep."""
    below: list[type] = type.__subclasses__(kind)
    return {one for each in below for one in (each, *_subclasses(each))}


def _elements(tensor: Shaped[Tensor, "*shape"]) -> int:
    """How many numbers like those of `tensor` its storage holds."""
    return tensor.untyped_storage().nbytes() // tensor.itemsize


def is_constant(shadow: Int[Tensor, " channels *shape"]) -> Bool[Tensor, "*shape"]:
    """Where a value depends on neither inputs nor weights, so that it is the same in every run."""
    return shadow[UNIT] == NOTHING


def is_minus_infinity(tensor: Tensor) -> Bool[Tensor, "*shape"]:
    """Where a number is so far below zero that nothing added to it matters: what masks are filled with."""
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=torch.bool)
    return (tensor.detach() <= torch.finfo(tensor.dtype).min / 2).cpu()


def is_unmarked(shadow: Int[Tensor, " channels *shape"]) -> Bool[Tensor, "*shape"]:
    """Where a value depends on no position that paths begin at, such as a mask that a program is given."""
    if len(shadow) == FIRST_PATH:
        return torch.zeros(shadow.shape[1:], dtype=torch.bool)
    return (shadow[FIRST_PATH:] == NOTHING).all(0)


FAR = 5000.0
"""What is as far from zero as this is there to mask: a softmax gives the lesser a weight of exactly zero."""


def is_far(tensor: Tensor) -> Bool[Tensor, "*shape"]:
    """Where a number is so far from zero that it is there to mask: -inf, 1e9, or -1e4 in half precision."""
    if tensor.dtype == torch.bool or tensor.is_complex():
        return torch.zeros(tensor.shape, dtype=torch.bool)
    return (tensor.detach().abs() >= FAR).cpu()


def is_low(tensor: Tensor) -> Bool[Tensor, "*shape"]:
    """Where it is so far below zero."""
    if tensor.dtype == torch.bool or tensor.is_complex():
        return torch.zeros(tensor.shape, dtype=torch.bool)
    return (tensor.detach() <= -FAR).cpu()


def parts(tensor: Shaped[Tensor, "*shape"]) -> list[Shaped[Tensor, "*part"]]:
    """What holds the numbers of a tensor: itself, or if it is sparse, the plain tensors it is made of.

    Raises AtonceError for what keeps its numbers where nobody can look.
    """
    if tensor.layout is torch.strided and not tensor.is_nested:
        return [tensor]
    names = _PARTS.get(tensor.layout)
    if tensor.is_nested or names is None:
        raise AtonceError(
            f"a {'nested ' if tensor.is_nested else ''}tensor of layout "
            f"{str(tensor.layout).removeprefix('torch.')} cannot be measured",
            why="torch does not show in which memory its numbers are, so nothing can be said of each",
            fix="make a plain tensor of it before: nested.to_padded_tensor(0.0), or layout=torch.jagged"
            if tensor.is_nested
            else "make a plain tensor of it before, with to_dense()",
        )
    with _disable_current_modes():
        return [getattr(tensor, name)() for name in names]


_PARTS: dict[torch.layout, tuple[str, ...]] = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def aligned(*shadows: Int[Tensor, " channels *_"]) -> list[Int[Tensor, " channels *_"]]:
    """With as many dimensions each, so that torch's broadcasting does not mistake their channels."""
    # torch aligns shapes at their ends; the channels stand in front.
    dims = max(one.dim() for one in shadows)
    return [one[:, *(None,) * (dims - one.dim())] for one in shadows]


def later(*shadows: Int[Tensor, " channels *_"]) -> Int[Tensor, " channels *shape"]:
    """The shadow of what waits for all of these, laid over one another as torch does it."""
    latest, *others = aligned(*shadows)
    for other in others:
        latest = torch.maximum(latest, other)
    return latest


def latest(
    shadow: Int[Tensor, " channels *shape"], dim: int | Sequence[int], *, keepdim: bool = False
) -> Int[Tensor, " channels *kept"]:
    """What waits for all along one or more dimensions; nothing, where there are no elements."""
    dims = [dim] if isinstance(dim, int) else list(dim)
    if not dims:
        return shadow
    if any(shadow.shape[one] == 0 for one in dims):
        kept = [
            1 if place in {one % shadow.dim() for one in dims} else n for place, n in enumerate(shadow.shape)
        ]
        empty = torch.full(kept, NOTHING)
        return empty if keepdim else empty.squeeze([one % shadow.dim() for one in dims])
    return shadow.amax(dims, keepdim=keepdim)
