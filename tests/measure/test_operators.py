"""Every operator of torch, with the inputs that torch tests it with.

No error, and nothing is said to be out of reach that changes a result.
"""

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from atonce.measure import work_span

pytest.importorskip("expecttest")

CHUNKS = 12
SAMPLES = 3
LARGEST = 2000
"""Elements of an input: larger ones take long and say nothing more."""

UNKNOWN = {
    # Operators of torch.nn's own, not of aten; that they are known is their own matter.
    "torch_nn::_linear_cross_entropy_batch_chunked",
    "torch_nn::_linear_cross_entropy_batch_chunked_no_reduction",
}
"""Operations that no rule describes. Taken for the worst and named, which is sound."""

UNKNOWN_BACKWARD = {
    "aten::grid_sampler_2d_backward", "aten::grid_sampler_3d_backward", "aten::_segment_reduce_backward",
    "aten::_embedding_bag_backward", "aten::multi_margin_loss_backward",
    "aten::multilabel_margin_loss_backward",
}  # fmt: skip
"""And those on the way back."""

NOT_REPEATED = {
    "empty_like": "shows whatever was in memory",
    "nn.functional.rrelu": "draws for numbers below zero alone, so each shifts what is drawn for others",
}
"""Operators that do not give the same twice, and why."""

NO_INPUTS = {
    "torch._scaled_mm", "torch._scaled_mm_v2", "torch.ops.aten._flash_attention_forward",
    "torch.ops.aten._efficient_attention_forward",
}  # fmt: skip
"""For accelerators alone; so are jiterator_…."""

KINDS = (torch.float64, torch.float32, torch.int64, torch.bool, torch.complex128)


Case = tuple[str, Callable[..., Any], list[Any], Any]


@functools.cache
def database() -> Sequence[Any]:
    """torch's, which freezes the flags of torch's backends when it is imported; not here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_utils
        from torch.testing._internal.common_methods_invocations import op_db
    # For every sample torch looks for a test of its own on the stack: nine tenths of the time here.
    common_utils.extract_test_fn = lambda: None
    # torch.backends is an object in place of its module, so that its attributes are not the module's names.
    torch.backends.disable_global_flags.__globals__["__allow_nonbracketed_mutation_flag"] = True
    return op_db


@functools.cache
def cases(chunk: int, kind: torch.dtype | None = None) -> Sequence[Case]:
    """Name, function, the leaves of its arguments and their structure.

    Without a kind: float64 if there is any.
    """
    return list(_cases(chunk, kind))


def _cases(chunk: int, kind: torch.dtype | None) -> Iterator[Case]:
    for one in database()[chunk::CHUNKS]:
        kinds = one.supported_dtypes("cpu")
        chosen = kind or next((kind for kind in KINDS if kind in kinds), None)
        if chosen not in kinds or one.name in NO_INPUTS or one.name.startswith("jiterator"):
            continue
        for sample in itertools.islice(one.sample_inputs("cpu", chosen, requires_grad=False), SAMPLES):
            leaves, structure = tree_flatten((sample.input, sample.args, sample.kwargs))
            if all(leaf.numel() <= LARGEST for leaf in leaves if isinstance(leaf, Tensor)):
                yield f"{one.name} {one.variant_test_name}".strip(), one.op, leaves, structure


def called(operator: Callable[..., Any], leaves: Sequence[Any], structure: Any) -> Any:
    torch.default_generator.manual_seed(0)
    first, args, kwargs = tree_unflatten(list(leaves), structure)
    return operator(first, *args, **kwargs)


def copies(leaves: Sequence[Any]) -> list[Any]:
    return [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def perturbed(tensor: Tensor, position: int, how: int) -> Tensor:
    """Another number at each place of one position: near, or anywhere."""
    draw = torch.Generator().manual_seed(how)
    tensor, dim = tensor.clone(), min(1, tensor.dim() - 1)
    part = tensor.narrow(dim, position, 1)
    if tensor.dtype == torch.bool:
        part.logical_not_()
    elif tensor.is_floating_point() or tensor.is_complex():
        other = torch.randn(part.shape, generator=draw, dtype=tensor.dtype)
        part.copy_(part * 1.01 + 0.001 if how == 0 else other)
    else:
        part.copy_(torch.randint(int(tensor.min()), int(tensor.max()) + 1, part.shape, generator=draw))
    return tensor


def changed(one: Tensor, other: Tensor) -> Tensor:
    """At which positions of the first any number differs."""
    if one.shape != other.shape:
        return torch.ones(one.shape[min(1, one.dim() - 1)] if one.dim() else 1, dtype=torch.bool)
    differs = one != other
    if one.is_floating_point() or one.is_complex():
        differs &= ~(one.isnan() & other.isnan())
    differs = differs.movedim(min(1, one.dim() - 1), 0) if one.dim() else differs[None]
    return differs.flatten(1).any(1) if differs.dim() > 1 else differs


def result(found: Any, place: int) -> Tensor | None:
    """One of the tensors that came out."""
    tensors = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
    return tensors[place % len(tensors)] if tensors else None


def measured(operator: Callable[..., Any], leaves: list[Any], structure: Any, marked: int, place: int) -> Any:
    """With paths from one of the tensors to one of the results."""
    others = [leaf for number, leaf in enumerate(leaves) if number != marked]

    def function(first: Any, *rest: Any) -> Tensor | None:
        given = [*rest[:marked], first, *rest[marked:]]
        return result(called(operator, given, structure), place)

    return work_span(function, [leaves[marked], *others], follow=False)


def unsound(case: Case, number: int) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a case, and which operations of it are unknown."""
    name, operator, leaves, structure = case
    tensors = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    if not leaves:
        return
    marked = tensors[number % len(tensors)] if tensors else 0
    try:
        before = result(called(operator, copies(leaves), structure), number)
    except RuntimeError:
        return  # torch itself refuses
    found = measured(operator, copies(leaves), structure, marked, number)
    yield from ((operation, None) for operation in found.unknown)
    tensor = leaves[marked]
    if found.paths is None or before is None or before.layout is not torch.strided:
        return
    for position, how in itertools.product(range(min(3, found.paths.shape[0])), range(2)):
        try:
            given = copies(leaves)
            given[marked] = perturbed(tensor, position, how)
            after = result(called(operator, given, structure), number)
        except RuntimeError:
            continue  # what is no valid input any more
        assert after is not None
        if (changed(before, after) & ~found.paths[position].isfinite()).any():
            yield name, f"argument {marked}, result {number}, position {position}"


@pytest.fixture(autouse=True)
def quietly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # The database seeds for every sample; for GPUs that are not there torch notes the stack each time.
    monkeypatch.setattr(torch, "manual_seed", torch.default_generator.manual_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its own old operators
        yield


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_is_said_to_be_out_of_reach_that_changes_a_result(chunk: int) -> None:
    wrong: list[tuple[str, str]] = []
    unknown = set()
    tried = 0
    numbers: dict[str, int] = {}
    for case in cases(chunk):
        number = numbers[case[0]] = numbers.get(case[0], -1) + 1
        tried += 1
        for name, fault in unsound(case, number):
            if fault is None:
                unknown.add(name)
            elif name not in NOT_REPEATED:
                wrong.append((name, fault))
    assert wrong == []
    assert unknown <= UNKNOWN
    assert tried > 100


@pytest.mark.parametrize("kind", [torch.complex64, torch.int64, torch.bool, torch.float32], ids=str)
def test_other_kinds_of_numbers(kind: torch.dtype) -> None:
    """One sample of every seventh operator for each kind, and what it does in place."""
    unknown = set()
    seen = set()
    for name, operator, leaves, structure in itertools.chain(*(cases(chunk, kind) for chunk in (1, 6))):
        if name in seen or not leaves:
            continue
        seen.add(name)
        unknown |= set(measured(operator, copies(leaves), structure, 0, 0).unknown)
    assert len(seen) > 20
    assert unknown <= UNKNOWN


def test_modules_of_torchs_database() -> None:
    """A sixth of them, each with its first input: torch's own modules are all described."""
    from torch.testing._internal.common_modules import module_db

    database()  # for what importing it does
    tried = 0
    for one in module_db[::6]:
        given = one.module_inputs_func(
            one, device="cpu", dtype=torch.float32, requires_grad=False, training=False
        )[0]
        module = one.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs).eval()
        if given.forward_input is not None:
            found = work_span(
                functools.partial(module, **given.forward_input.kwargs),
                given.forward_input.args,
                follow=False,
            )
            assert dict(found.unknown) == {}, one.name
            tried += 1
    assert tried > 15


def backward(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of an operator's first input."""

    def gradient(first: Any, *args: Any, **kwargs: Any) -> Any:
        first = first.detach().requires_grad_()
        found = [one for one in tree_leaves(operator(first, *args, **kwargs)) if isinstance(one, Tensor)]
        total = sum((one.abs() ** 2).sum() for one in found if one.requires_grad)
        return torch.autograd.grad(total, first, allow_unused=True)[0]  # type: ignore[arg-type]

    return gradient


@pytest.mark.parametrize("chunk", [5, 9])
def test_the_way_back(chunk: int) -> None:
    wrong: list[tuple[str, str]] = []
    unknown = set()
    able = {one.op for one in database()[chunk::CHUNKS] if one.supports_autograd}
    seen: set[str] = set()
    for name, operator, leaves, structure in cases(chunk):
        first = tree_unflatten(leaves, structure)[0]
        if name in seen or operator not in able:
            continue
        if not isinstance(first, Tensor) or not first.is_floating_point() or first.layout != torch.strided:
            continue
        seen.add(name)
        for place, fault in unsound((name, backward(operator), leaves, structure), 0):
            if fault is None:
                unknown.add(place)
            elif name not in NOT_REPEATED:
                wrong.append((name, fault))
    assert wrong == []
    assert unknown <= UNKNOWN | UNKNOWN_BACKWARD
    assert len(seen) > 20
