"""Shadows: beside every number that a program computes, how long it had to wait.

A shadow has the shape of its tensor and a leading dimension of channels, each of which counts something else:

| channel | counts |
| --- | --- |
| `UNIT` | the longest chain of operations up to this element, each tensor operation one step |
| `PRAM` | the same, a reduction over n being 1 + ⌈log2 n⌉ steps (on unboundedly many processors) |
| `FIRST_PATH` and on | the shortest chain from one marked position of the input, negated |

So in every channel waiting for two things is the greater of two numbers, and one algebra does for all: for
chains it is (max, +), for paths (min, +) turned upside down.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from atonce.shapes import Bool, Int

UNIT, PRAM, FIRST_PATH = 0, 1, 2

NOTHING = -(2**62)
"""The shadow of what depends on no input (in a path's channel: on nothing at the marked position)."""

STEP = 2**32
"""One step. What is below it is free for the name of the chain's last operation (`chain.py`)."""


class _Kept(NamedTuple):
    """The shadow of a storage, and what tells whether the storage is still the one it belongs to."""

    alive: StorageWeakRef
    itemsize: int
    shadow: Int[Tensor, " channels elements"]


class Shadows:
    """The shadows of all tensors, kept by storage.

    A view of a tensor has the same view of its shadow, whichever operation made it; and what is written
    through a view is written to the shadow of all others. So views need no rules.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._kept: dict[int, _Kept] = {}
        self._limit = 1024

    def of(self, tensor: Tensor) -> Int[Tensor, " channels *shape"]:
        """The shadow of `tensor`; to write to it is to write to the shadow of all its views.

        A tensor that was never seen was there before the program began: an input or a weight, which waited
        for nothing but can be anything. Not so truth values and minus infinity, which say what may be seen:
        these are constants.
        """
        storage = tensor.untyped_storage()
        key = storage._cdata
        kept = self._kept.get(key)
        if kept is None or kept.itemsize * kept.shadow.shape[1] < storage.nbytes():
            kept = self._keep(tensor, self._given(tensor))
        if kept.itemsize != tensor.itemsize:  # other numbers made of the same bytes: any may be in any
            latest = kept.shadow.amax(1)
            return latest.view(-1, *(1,) * tensor.dim()).expand(-1, *tensor.shape).clone()
        return self._viewed(kept.shadow, tensor)

    def write(self, tensor: Tensor, shadow: Int[Tensor, " channels *shape"]) -> None:
        """Give the elements of `tensor` this shadow."""
        storage = tensor.untyped_storage()
        kept = self._kept.get(storage._cdata)
        if kept is None or kept.itemsize != tensor.itemsize or kept.shadow.shape[1] < _elements(tensor):
            kept = self._keep(tensor, torch.full((self.channels, _elements(tensor)), NOTHING))
        self._viewed(kept.shadow, tensor).copy_(shadow)

    def mark(self, tensor: Tensor, positions: Int[Tensor, "*shape"]) -> None:
        """Make an input of `tensor`: it waited for nothing, and paths begin at its elements.

        Each in the channel of its position, counted from 0.
        """
        self.of(tensor)[:FIRST_PATH] = 0
        channels = torch.arange(self.channels - FIRST_PATH).view(-1, *(1,) * tensor.dim())
        self.of(tensor)[FIRST_PATH:] = torch.where(channels == positions, 0, NOTHING)

    def _given(self, tensor: Tensor) -> Int[Tensor, " channels elements"]:
        shadow = torch.full((self.channels, _elements(tensor)), NOTHING)
        if tensor.dtype != torch.bool:
            # All of the storage, whatever part of it this tensor is, and however often it shows an element.
            whole = tensor.detach().as_strided((shadow.shape[1],), (1,), 0)
            shadow[:FIRST_PATH] = torch.where(is_minus_infinity(whole), NOTHING, 0)
        return shadow

    def _keep(self, tensor: Tensor, shadow: Int[Tensor, " channels elements"]) -> _Kept:
        storage = tensor.untyped_storage()
        # The weak reference keeps the storage's address from being used again while we go by it.
        kept = self._kept[storage._cdata] = _Kept(StorageWeakRef(storage), tensor.itemsize, shadow)
        if len(self._kept) > self._limit:
            self._kept = {key: one for key, one in self._kept.items() if not one.alive.expired()}
            self._limit = max(1024, 2 * len(self._kept))
        return kept

    def _viewed(self, shadow: Int[Tensor, " channels elements"], tensor: Tensor) -> Tensor:
        stride = shadow.stride(0), *tensor.stride()
        return shadow.as_strided((self.channels, *tensor.shape), stride, tensor.storage_offset())


def _elements(tensor: Tensor) -> int:
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


def aligned(*shadows: Int[Tensor, " channels *_"]) -> list[Int[Tensor, " channels *_"]]:
    """With as many dimensions each, so that torch's broadcasting does not mistake their channels."""
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
    """What waits for all along one or more dimensions; nothing, where there are none."""
    dims = [dim] if isinstance(dim, int) else list(dim)
    if any(shadow.shape[one] == 0 for one in dims):
        kept = [
            1 if place in {one % shadow.dim() for one in dims} else n for place, n in enumerate(shadow.shape)
        ]
        empty = torch.full(kept, NOTHING)
        return empty if keepdim else empty.squeeze([one % shadow.dim() for one in dims])
    return shadow.amax(dims, keepdim=keepdim)
