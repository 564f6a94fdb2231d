"""Operation by operation: what a result is said to wait for is what it changes with."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.measure import work_span
from atonce.measure.influence import reach

N, DIM = 5, 4
PLACES = torch.tensor([3, 0, 0, 2])
APART = torch.tensor([3, 0, 1, 2])
CLOSED = torch.tensor([[True, False, True, True, False]])

SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    # One element of each argument.
    "sums": lambda x: x + 2 * x.flip(1) - 1,
    "functions": lambda x: x.sigmoid().mul(x.tanh()).exp().div(3).neg(),
    "in place": lambda x: x.clone().mul_(2).add_(x.roll(1, 1)).sub_(1),
    "choice by a constant": lambda x: torch.where(CLOSED[..., None], x, x.flip(1)),
    "choice by a number": lambda x: torch.where(x > 0, x, x.roll(1, 1)),
    "masked fill": lambda x: x.masked_fill(CLOSED[..., None], 1.0),
    "masked fill in place": lambda x: x.clone().masked_fill_(CLOSED[..., None], 1.0),
    "nothing remains": lambda x: x * torch.zeros(N, 1) + 1,
    "zero by something": lambda x: torch.zeros(1, N, DIM) / x.exp(),
    "fused products": lambda x: torch.addcmul(x, x.roll(1, 1), x.flip(1)),
    "interpolation": lambda x: torch.lerp(x, x.flip(1), 0.3),
    "triangles": lambda x: x.tril() + x.triu(2),
    "clamped": lambda x: x.clamp(-10, 10).square().sqrt(),
    "gated": lambda x: F.glu(x, dim=-1),
    "activations": lambda x: F.gelu(x) + F.silu(x) + F.softplus(x) + F.elu(x),
    # Sums of products.
    "over features": lambda x: x @ torch.ones(DIM, 3),
    "over positions": lambda x: torch.ones(N, N).tril() @ x,
    "over positions, some twice": lambda x: torch.eye(N).roll(2, 0) @ x,
    "with itself": lambda x: x @ x.mT,
    "batches": lambda x: torch.bmm(x.mT, x),
    "vectors": lambda x: (x[0] @ torch.ones(DIM))[None],
    "by letters": lambda x: torch.einsum("bnd,bmd->bnm", x, torch.ones(1, 2, DIM)),
    "added": lambda x: torch.baddbmm(x, x.new_ones(1, N, N).triu(), x),
    "outer": lambda x: x[..., :1] * x[..., 1:2].mT,
    # Over dimensions.
    "sum": lambda x: x.sum(1, keepdim=True),
    "sum of all": lambda x: x.sum().view(1, 1),
    "sum of a part": lambda x: x[:, 1:3].mean(1, keepdim=True),
    "spread": lambda x: x.var(2) + x.std(2),
    "log sum": lambda x: x.logsumexp(2),
    "norms": lambda x: x.norm(dim=2),
    "softmax": lambda x: x.softmax(1),
    "softmax of features": lambda x: x.log_softmax(2),
    "softmax with gaps": lambda x: x.masked_fill(CLOSED[..., None], -torch.inf).softmax(1),
    "layer norm": nn.LayerNorm(DIM, dtype=torch.float64),
    "root mean square": nn.RMSNorm(DIM, dtype=torch.float64),
    "group norm": nn.GroupNorm(1, N, dtype=torch.float64),
    "running sum": lambda x: x.cumsum(1),
    "running log sum": lambda x: x.logcumsumexp(1),
    "running product": lambda x: x.cumprod(1),
    # Moving.
    "joined": lambda x: torch.cat([x[:, 3:], x[:, :2], torch.zeros(1, 1, DIM)], 1),
    "stacked": lambda x: torch.stack([x[0], x[0].flip(0)], 1),
    "padded": lambda x: F.pad(x, (0, 0, 2, 1)),
    "repeated": lambda x: x.repeat(1, 2, 1),
    "each repeated": lambda x: x.repeat_interleave(2, 1),
    "spread out": lambda x: x[:, :1].expand(-1, N, -1) + 0,
    "looked up": lambda x: x[:, PLACES],
    "looked up in two": lambda x: x[:, PLACES, torch.tensor([0, 1, 2, 3])],
    "looked up apart": lambda x: x[torch.tensor([0]), :, torch.tensor([1])],
    "chosen": lambda x: x[:, CLOSED[0]],
    "gathered": lambda x: x.gather(1, PLACES[None, :, None].expand(1, 4, DIM)),
    "selected": lambda x: x.index_select(1, PLACES),
    "in windows": lambda x: x.unfold(1, 2, 1).flatten(2),
    "diagonal": lambda x: torch.diagonal(x[:, :, :DIM], dim1=1, dim2=2),
    "halves": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "copied": lambda x: torch.zeros(1, N, DIM, dtype=x.dtype).copy_(x[:, :1]),
    "reshaped": lambda x: x.mT.reshape(1, N, DIM),
    # Writing.
    "put": lambda x: x.clone().index_put((torch.tensor([0]), torch.tensor([2])), x[:, 4]),
    "put and added": lambda x: x.clone().index_put_(
        (torch.tensor([0, 0]), torch.tensor([2, 2])), x[0, 3:], accumulate=True
    ),
    "written over": lambda x: x.clone().index_fill_(1, torch.tensor([1]), 0.0),
    "scattered": lambda x: x.clone().scatter_(1, APART[None, :, None].expand(1, 4, DIM), x[:, 1:]),
    "scattered and added": lambda x: x.scatter_add(1, PLACES[None, :, None].expand(1, 4, DIM), x[:, 1:]),
    "added by index": lambda x: x.index_add(1, PLACES, x[:, 1:]),
    "slice by slice": lambda x: torch.slice_scatter(x, x[:, 3:], 1, 0, 2),
    "swapped": lambda x: _swapped(x),
}  # fmt: skip

STEPPED: dict[str, Callable[[Tensor], Tensor]] = {
    "greatest": lambda x: x.amax(1, keepdim=True),
    "greatest of two": lambda x: torch.maximum(x, x.flip(1)),
    "greatest and where": lambda x: x.max(1, keepdim=True).values,
    "sorted": lambda x: x.sort(1).values,
    "best": lambda x: x.topk(2, 1).values,
    "running greatest": lambda x: x.cummax(1).values,
    "pooled": lambda x: F.max_pool1d(x.mT, 2).mT,
    "looked up where it says": lambda x: torch.eye(N)[x[0].argmax(-1)][None],
    "signs": lambda x: x.sign() + x.round(),
}

CAUTIOUS: dict[str, Callable[[Tensor], Tensor]] = {
    "where": lambda x: x.argmax(1),
    "other bytes": lambda x: x.view(torch.int64).view(torch.float64) + 0,
    "put where it says": lambda x: x.index_put((torch.tensor([0]), x[0, :1, 0].sign().long()), x[:, 4]),
    "those above zero": lambda x: x[x > 0][None],
}
"""Of these more is said to wait than changes: where a number goes is not followed number by number."""


def _swapped(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 0], x[:, 1] = x[:, 1].clone(), x[:, 0].clone()
    return x


def vectors() -> Tensor:
    return torch.randn(1, N, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(autouse=True)
def in_double() -> Iterator[None]:
    """What programs make anew is in float64 too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", SMOOTH)
def test_it_waits_for_what_it_changes_with(name: str) -> None:
    measured = work_span(SMOOTH[name], vectors())
    assert measured.paths is not None
    assert measured.paths.isfinite().equal(reach(SMOOTH[name], vectors()))
    assert measured.span <= measured.span_pram
    assert not measured.unknown


def changes(function: Callable[[Tensor], Tensor]) -> Tensor:
    """What changes with what, in any of many perturbations: one does not find all of a choice."""
    return torch.stack([reach(function, vectors(), seed=seed) for seed in range(40)]).any(0)


@pytest.mark.parametrize("name", STEPPED)
def test_it_waits_for_whatever_may_change_it(name: str) -> None:
    measured = work_span(STEPPED[name], vectors())
    assert measured.paths is not None
    assert measured.paths.isfinite().equal(changes(STEPPED[name]))
    assert not measured.unknown


@pytest.mark.parametrize("name", CAUTIOUS)
def test_it_waits_for_no_less_than_what_it_changes_with(name: str) -> None:
    measured = work_span(CAUTIOUS[name], vectors())
    assert measured.paths is not None
    assert measured.paths.isfinite().any()
    if name != "those above zero":  # how many there are changes
        assert (measured.paths.isfinite() | ~changes(CAUTIOUS[name])).all()
