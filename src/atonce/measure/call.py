"""One call of a torch operation, with the shadows of its arguments: the input of the rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from atonce.measure.shadows import FIRST_PATH, NOTHING, Shadows, is_constant, is_far, is_unmarked
from atonce.shapes import Bool, Int, Shaped


class Effect(NamedTuple):
    """What one call does, by its rule: how long the results waited, the call itself not counted."""

    shadows: Sequence[Int[Tensor, " channels *shape"]]
    """One for each tensor that came out, in order."""
    joined: int | None = 1
    """From how many numbers one element of the result was made: over so many a reduction ran. None if numbers
    only changed their places, which takes no step and no work."""
    work: int | None = None
    """Operations on single numbers; None: of each element of the first result, as many as `joined`."""
    products: int = 0
    """Of these, how many multiply or add in a matrix product or a convolution."""
    depth: int | None = None
    """Steps on unboundedly many processors; None: 1 + ⌈log2 joined⌉."""
    far: Bool[Tensor, "*shape"] | None = None
    """Where the first result is something plus a constant far from zero, as masks make it."""
    loses: bool | None = None
    """Whether a mask that went in has closed nothing, and is lost. None: so it is if there was one."""
    wide: bool = False
    """Whether everything waits for everything only because it is not followed number by number."""


@dataclass(frozen=True)
class Call:
    """An operation that has run. Arguments that it wrote over are here as they were before."""

    operation: OpOverload
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: Sequence[Tensor]
    shadows: Shadows

    @property
    def name(self) -> str:
        """Of the operation: "add" for torch.ops.aten.add_.Tensor."""
        return base_name(self.operation)

    @property
    def output(self) -> Shaped[Tensor, "*shape"]:
        """The first result."""
        return self.outputs[0]

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument that may have been given by position or by name, or not at all."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def named(self, name: str, default: Any = None) -> Any:
        """The argument of this name in the operation's schema, however it was given."""
        for place, one in enumerate(self.operation._schema.arguments):
            if one.name == name:
                if place < len(self.args):
                    return self.args[place]
                return self.kwargs.get(name, one.default_value if one.has_default_value() else default)
        return default

    @property
    def function(self) -> Callable[..., Any]:
        """The operation as one that writes over nothing, for any kind of arguments."""
        # The packet, which chooses the overload anew: that of the call may write over its argument.
        found: Callable[..., Any] = getattr(getattr(torch.ops, self.operation.namespace), self.name)
        return found

    @cached_property
    def tensors(self) -> Sequence[Tensor]:
        """All tensors that went in."""
        return tensors_in((self.args, self.kwargs))

    @property
    def read(self) -> Sequence[Tensor]:
        """Of an operation after which the program knows numbers, the arguments that it knows."""
        known = {
            "masked_select": self.args[1:2],
            "_pack_padded_sequence": self.args[1:2],
            "equal": self.args[:2],
        }
        return [one for one in known.get(self.name, self.args[:1]) if isinstance(one, Tensor)]

    @property
    def is_by_halves(self) -> bool:
        """Whether the real halves of complex results are made of real halves alone."""
        if not self.outputs[0].is_complex() or len(self.outputs) > 1:
            return False
        if self.name in ("mul", "div"):
            factors = self.args[1:] if self.name == "div" else self.args
            return any(_is_real(one) or self.is_imaginary(one) for one in factors)
        return self.name in _BY_HALVES or (self.name in _SUMS and self.named("alpha", 1).imag == 0)

    @property
    def swaps_halves(self) -> bool:
        """Whether real halves are made of imaginary ones: of a product with 1j."""
        return self.name in ("mul", "div") and sum(map(self.is_imaginary, self.args)) % 2 == 1

    @property
    def _has_no_other_half(self) -> bool:
        """Whether a real argument goes into one half of the result alone."""
        if self.name in _SUMS | _JOINS:
            return True
        return self.swaps_halves and all(_is_real(one) or self.is_imaginary(one) for one in self.args)

    def is_imaginary(self, value: Any) -> bool:
        """Whether an argument has no real half in any run."""
        if isinstance(value, complex):
            return value.real == 0 != value.imag
        if not _is_complex(value) or not bool((value.detach().real == 0).all()):
            return False
        return bool(is_constant(self.shadows.of(value)).all())

    def shadow(self, value: Any) -> Int[Tensor, " channels *shape"]:
        """The shadow of an argument. A number of Python's waits for nothing."""
        if isinstance(value, Tensor):
            if self.shadows.half == 1 and not value.is_complex() and self._has_no_other_half:
                return self.nothing(value.shape)
            return self.shadows.of(value)
        return self.nothing(())

    def nothing(self, shape: Sequence[int]) -> Int[Tensor, " channels *shape"]:
        """The shadow of constants."""
        return torch.full((self.shadows.channels, *shape), NOTHING)

    def given(self, shape: Sequence[int]) -> Int[Tensor, " channels *shape"]:
        """The shadow of what can be anything, but waits for nothing."""
        shadow = self.nothing(shape)
        shadow[:FIRST_PATH] = 0
        return shadow

    def masked(self, tensor: Tensor) -> Bool[Tensor, "*#shape"] | None:
        """Where an argument is far from zero, as a constant or by one that was added; None if nowhere."""
        if tensor.dtype == torch.bool or tensor.is_complex():
            return None
        far = self.shadows.far(tensor)
        found = is_far(tensor)
        if not found.any():
            return far
        shadow = self.shadow(tensor)
        found = found & (is_constant(shadow) | is_unmarked(shadow))
        return found if far is None else found | far

    def is_fixed(self, tensor: Shaped[Tensor, "*shape"]) -> bool:
        """Whether an argument depends on no marked position, so that paths meet it as it is."""
        shadow = self.shadow(tensor)
        return bool((is_constant(shadow) | is_unmarked(shadow)).all())

    def constantly(self, value: Any, number: int) -> Bool[Tensor, "*shape"]:
        """Where an argument is `number` in every run."""
        if isinstance(value, Tensor):
            equal = (value.detach() == number).cpu()
            return equal & is_constant(self.shadow(value)) if equal.any() else equal
        return torch.tensor(value == number)


# Of complex numbers: each half of a sum is made of one half of each term. As one number each, a half would
# wait for all that the other waits for.
_SUMS = {"add", "sub", "rsub"}
_JOINS = {"cat", "stack", "copy", "_to_copy"}
_BY_HALVES = _JOINS | {
    "clone", "lift", "repeat", "flip", "roll", "rot90", "constant_pad_nd", "slice_scatter", "select_scatter",
    "diagonal_scatter", "index", "gather", "index_select", "take", "embedding", "index_put", "scatter",
    "scatter_add", "index_add", "index_copy", "masked_scatter", "where", "masked_fill", "neg", "sum", "mean",
    "cumsum", "tril", "triu", "_conj_physical", "conj_physical",
}  # fmt: skip


def _is_complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def _is_real(value: Any) -> bool:
    return value.imag == 0 if isinstance(value, complex) else not _is_complex(value)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in any nesting of tuples, lists and dicts, in order."""
    # By pytree, which also knows named tuples and the outputs of Hugging Face's models.
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def base_name(operation: OpOverload) -> str:
    """The name that an operation shares with its variants: "add" of add_, add.out and add.Tensor."""
    name: str = operation.overloadpacket.__name__
    return name.removesuffix("_") if operation._schema.is_mutable and not name.endswith("__") else name
