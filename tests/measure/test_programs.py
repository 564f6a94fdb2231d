"""Programs of all kinds, each as narrow as the same written otherwise, or named as taken for the worst."""

import math
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from atonce.errors import AtonceError
from atonce.measure import growth, work_span
from atonce.measure.influence import influence, reach

N, DIM = 6, 8
LENGTHS = (4, 8, 16)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sparse tensors and the like are in beta, says torch
        torch.manual_seed(0)
        yield


def vectors(length: int = N) -> Tensor:
    return torch.randn(1, length, DIM)


def reached(function: Callable[[Tensor], Tensor], length: int = N) -> list[list[bool]]:
    found = work_span(function, vectors(length), follow=False)
    assert found.unknown == {}
    assert found.wide == {}
    assert found.paths is not None
    return found.paths.isfinite().tolist()


EACH_ALONE = torch.eye(N, dtype=torch.bool).tolist()
ONLY_BEFORE = torch.ones(N, N, dtype=torch.bool).triu().tolist()

# Writing by sampling.

PICKS: dict[str, Callable[[Tensor], Tensor]] = {
    "multinomial": lambda scores: scores.softmax(-1).multinomial(1)[:, 0],
    "categorical": lambda scores: torch.distributions.Categorical(logits=scores).sample(),
    "greatest with noise": lambda scores: (scores - torch.empty_like(scores).exponential_().log()).argmax(-1),
    "straight through": lambda scores: F.gumbel_softmax(scores, hard=True).argmax(-1),
    "best three": lambda scores: (lambda best: best[1].gather(-1, best[0].softmax(-1).multinomial(1))[:, 0])(
        scores.topk(3)
    ),
    "searched": lambda scores: torch.searchsorted(scores.softmax(-1).cumsum(-1), torch.rand(1, 1))[:, 0] % 11,
}


@pytest.mark.parametrize("name", PICKS)
def test_writing_by_sampling_takes_as_long_as_greedy_writing(name: str) -> None:
    table, weight = torch.randn(11, DIM), torch.randn(DIM, 11)

    def writing(start: Tensor) -> Tensor:
        token, tokens = start[:, 0], []
        for _ in range(start.shape[1]):
            token = PICKS[name](table[token] @ weight)
            tokens.append(token)
        return torch.stack(tokens, 1)

    found = growth(lambda length: torch.randint(11, (1, length)), writing, LENGTHS)
    assert (found.span.law, found.path.law) == ("linear", "linear")
    assert found.path.slope >= 2
    assert (dict(found.unknown), dict(found.wide), found.reads) == ({}, {}, 0)


DRAWN: dict[str, Callable[[Tensor], Tensor]] = {
    "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    "bernoulli in place": lambda x: torch.empty_like(x).bernoulli_(x.sigmoid()),
    "poisson": lambda x: torch.poisson(x.exp()),
    "normal": lambda x: torch.normal(x, 1.0) + torch.normal(0.0, x.exp()) + torch.normal(x, x.exp()),
    "binomial": lambda x: torch.binomial(torch.full_like(x, 5.0), x.sigmoid()),
    "gamma": lambda x: torch._standard_gamma(x.exp()),
    "dirichlet": lambda x: torch._sample_dirichlet(x.exp()),
    "leaky slopes": lambda x: F.rrelu(x, training=True),
    "dropout": lambda x: F.dropout(x) + F.alpha_dropout(x, 0.5, True) + F.feature_alpha_dropout(x, 0.1, True),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_drawn_waits_for_what_it_is_drawn_by(name: str) -> None:
    assert reached(DRAWN[name]) == EACH_ALONE


def test_what_is_drawn_from_constants_waits_for_nothing_but_is_no_constant() -> None:
    def drawing(x: Tensor) -> Tensor:
        half = torch.full(x.shape, 0.5)
        return torch.rand_like(x) + torch.bernoulli(half) + torch.bernoulli(x, 0.5) + x.clone().uniform_()

    assert work_span(drawing, vectors()).path is None
    found = work_span(lambda x: x * torch.bernoulli(torch.zeros(x.shape)), vectors())
    assert found.path == 1


# Masks.

OPEN = torch.ones(N, N, dtype=torch.bool).tril()
CLOSED = (~OPEN).float()

MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "added": lambda s: (s + CLOSED * -1e9).softmax(-1),
    "added for half precision": lambda s: (s.half() + CLOSED.half() * -1e4).softmax(-1).float(),
    "added in place": lambda s: s.add_(CLOSED * -1e9).softmax(-1),
    "added from the open": lambda s: (s + (1 - OPEN.float()) * -10000.0).softmax(-1),
    "subtracted": lambda s: (s - 1e9 * CLOSED).softmax(-1),
    "multiplied and subtracted": lambda s: (s * OPEN - 1e9 * CLOSED).softmax(-1),
    "filled": lambda s: s.masked_fill(~OPEN, -1e9).softmax(-1),
    "chosen": lambda s: torch.where(OPEN, s, torch.tensor(-1e4)).softmax(-1),
    "before a temperature": lambda s: ((s + CLOSED * -1e9) / 2).softmax(-1),
    "of another kind": lambda s: (s + CLOSED * torch.finfo(s.dtype).min).double().softmax(-1).float(),
    "logarithms": lambda s: (s + CLOSED * -1e9).log_softmax(-1).exp(),
    "by hand": lambda s: _by_hand(s + CLOSED * -1e9),
    "by the logarithm of the sum": lambda s: (lambda a: (a - a.logsumexp(-1, keepdim=True)).exp())(
        s + CLOSED * -1e9
    ),
    "weights multiplied": lambda s: (s.exp() * OPEN) / (s.exp() * OPEN).sum(-1, keepdim=True),
    "gates": lambda s: (s + CLOSED * -1e9).sigmoid(),
    "gates without a tail": lambda s: (s + CLOSED * -1e9).relu(),
    "limited from below": lambda s: (s + CLOSED * -1e9).clamp(min=-1e9).softmax(-1),
    "the greater": lambda s: torch.maximum(s + CLOSED * -1e9, torch.tensor(-1e9)).softmax(-1),
    "beside a score for nothing": lambda s: torch.cat([s + CLOSED * -1e9, s.new_zeros(1, N, 1)], -1).softmax(
        -1
    )[..., :-1],
    "copied to other places": lambda s: (s + CLOSED * -1e9).flip(-1)[torch.tensor([0])].flip(-1).softmax(-1),
    "added, then filled": lambda s: (
        (s + CLOSED * -1e9).masked_fill(~OPEN & ~OPEN.roll(1, 1), -1e9).softmax(-1)
    ),
    "a factor in the sum": lambda s: torch.add(s, CLOSED, alpha=-1e9).softmax(-1),
    "whole numbers": lambda s: (s + (1 - OPEN.long()) * -10000).softmax(-1),
    "a fused product": lambda s: torch.addcmul(s, CLOSED, torch.tensor(-1e9)).softmax(-1),
    "a fused quotient": lambda s: torch.addcdiv(s, CLOSED, torch.ones(1), value=-1e9).softmax(-1),
    "interpolated": lambda s: torch.lerp(s, torch.tensor(-1e9), CLOSED).softmax(-1),
    "turned round": lambda s: (-(1e9 * CLOSED - s)).softmax(-1),
    "least": lambda s: F.softmin(s + 1e9 * CLOSED, -1),
    "what is open raised": lambda s: (s + 1e9 * OPEN).softmax(-1),
    "stays on its side": lambda s: (s + CLOSED * -1e9).tanh() + 1,
    "exponential tail": lambda s: F.elu(s + CLOSED * -1e9) + 1,
    "logarithm of a gate": lambda s: F.logsigmoid(s + CLOSED * -1e9).softmax(-1),
    "small slope": lambda s: F.leaky_relu(s + CLOSED * -1e9).softmax(-1),
    "chosen and subtracted": lambda s: torch.where(OPEN, s, s - 1e9).softmax(-1),
    "chosen twice": lambda s: torch.where(OPEN, torch.where(OPEN, s, s - 1e9), s - 1e9).softmax(-1),
    "written by truth values": lambda s: _written(s, lambda low: low[:, ~OPEN].sub_(1e9)),
    "written by a number": lambda s: _written(s, lambda low: torch.tensor(-1e9)),
    "row by row": lambda s: _row_by_row(s).softmax(-1),
    "scattered": lambda s: s.masked_scatter(~OPEN, s[:, ~OPEN] - 1e9).softmax(-1),
    "no number replaced": lambda s: torch.nan_to_num(s + CLOSED * -1e9).softmax(-1),
    "no more than": lambda s: torch.minimum(s, torch.where(OPEN, 1e9, -1e9)).softmax(-1),
    "at most": lambda s: s.clamp(max=torch.where(OPEN, math.inf, -math.inf)).softmax(-1),
    "at least nothing": lambda s: (s + CLOSED * -1e9).clamp(min=0),
    "a threshold": lambda s: F.threshold(s + CLOSED * -1e9, -1e4, -1e4).softmax(-1),
    "sums by place": lambda s: s.index_put(
        (torch.zeros(15, dtype=torch.long), *torch.triu_indices(N, N, 1)), torch.tensor(-1e9), accumulate=True
    ).softmax(-1),
    "the greatest of two": lambda s: torch.stack([s + CLOSED * -1e9, s + CLOSED * -1e9]).amax(0).softmax(-1),
}


def _written(scores: Tensor, low: Callable[[Tensor], Tensor]) -> Tensor:
    scores = scores.clone()
    scores[:, ~OPEN] = low(scores)
    return scores.softmax(-1)


def _row_by_row(scores: Tensor) -> Tensor:
    scores = scores.clone()
    for row in range(N):
        scores[:, row, row + 1 :] -= 1e9
    return scores


def _by_hand(scores: Tensor) -> Tensor:
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_a_mask_however_it_is_made(name: str) -> None:
    assert reached(lambda x: MASKS[name](x @ x.mT) @ x) == ONLY_BEFORE


def test_the_best_three_of_those_that_are_open() -> None:
    """Where fewer than three are open, closed ones are compared with a closed one: that is said."""

    def best_three(x: Tensor) -> Tensor:
        scores = x @ x.mT + CLOSED * -1e9
        third = scores.topk(3, -1).values[..., -1:]
        return scores.masked_fill(scores < third, -math.inf).softmax(-1) @ x

    found = work_span(best_three, vectors(), follow=False)
    assert found.paths is not None
    assert found.paths.isfinite().tolist() == ONLY_BEFORE
    assert found.wide.keys() == {"aten::lt.Tensor (of a mask)", "aten::masked_fill.Scalar (of a mask)"}


def test_a_mask_that_leaves_something_to_be_seen_is_none() -> None:
    everything = torch.ones(N, N, dtype=torch.bool).tolist()
    assert reached(lambda x: (x @ x.mT + CLOSED * -100).double().softmax(-1).float() @ x) == everything
    assert reached(lambda x: (x @ x.mT + CLOSED * -1e9).tanh() @ x) == everything


def test_a_constant_score_gets_a_weight_that_depends_on_the_others() -> None:
    def function(x: Tensor) -> Tensor:
        return torch.cat([x, torch.zeros(1, N, 1)], 2).softmax(2)[..., -1]

    assert reached(function) == reach(function, vectors().double()).tolist() == EACH_ALONE


def test_masks_of_torchs_own_attention() -> None:
    attention = nn.MultiheadAttention(DIM, 2, batch_first=True)
    assert reached(lambda x: attention(x, x, x, attn_mask=CLOSED * -1e9)[0]) == ONLY_BEFORE
    assert reached(lambda x: F.scaled_dot_product_attention(x, x, x, CLOSED * -1e9)) == ONLY_BEFORE
    assert reached(lambda x: torch.baddbmm(CLOSED * -1e9, x, x.mT).softmax(-1) @ x) == ONLY_BEFORE


LOST: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a wave": (lambda s: (s + CLOSED * -1e9).sin(), "aten::sin"),
    "taken back": (lambda s: (s + CLOSED * -1e9) - CLOSED * -1e9, "aten::sub.Tensor"),
    "scaled by its row": (lambda s: F.layer_norm(s + CLOSED * -1e9, (N,)), "aten::native_layer_norm"),
    "multiplied": (lambda s: (s + CLOSED * -1e9) @ torch.eye(N), "aten::mm"),
    "summed": (lambda s: (s + CLOSED * -1e9).cumsum(-1), "aten::cumsum"),
    "everything closed": (lambda s: (s.double() - 1e9).softmax(-1).float(), "aten::_softmax"),
    "by chance": (lambda s: torch.where(s > 0, s, s - 1e9).softmax(-1), "aten::where.self"),
}


@pytest.mark.parametrize("name", LOST)
def test_where_a_mask_is_lost_the_report_says_so(name: str) -> None:
    function, named = LOST[name]
    found = work_span(lambda x: function(x @ x.mT) @ x, vectors())
    assert f"{named} (of a mask)" in found.wide
    assert found.connected == 1


NAMED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "one-hot": (lambda s: F.one_hot(s.argmax(-1), N).float(), "aten::eq"),
    "scattered": (lambda s: torch.zeros_like(s).scatter(-1, s.topk(1, -1)[1], 1.0), "aten::scatter"),
    "sorted": (lambda s: torch.zeros_like(s).scatter(-1, s.sort(-1)[1][..., -1:], 1.0), "aten::scatter"),
    "straight through": (lambda s: F.gumbel_softmax(s, hard=True), "aten::scatter"),
    "compared": (lambda s: (s.max(-1)[1][..., None] == torch.arange(N)).float(), "aten::eq"),
    "drawn": (lambda s: F.one_hot(s[0].softmax(-1).multinomial(1), N)[:, 0].float()[None], "aten::eq"),
    "counted": (lambda s: F.one_hot((s.argmax(-1) + N) % N, N).float(), "aten::eq"),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_written_where_a_masked_score_is_greatest_is_named(name: str) -> None:
    """A closed place is never written to. That is not followed, so it is said."""
    function, named = NAMED[name]
    masked = work_span(lambda x: function((x @ x.mT).masked_fill(CLOSED > 0, -math.inf)) @ x, vectors())
    assert any(one.startswith(named) and one.endswith("(of a mask)") for one in masked.wide), masked.wide
    assert dict(work_span(lambda x: function(x @ x.mT) @ x, vectors()).wide) == {}


def test_where_a_masked_score_is_greatest_may_be_looked_up() -> None:
    table, weight = torch.randn(11, DIM), torch.randn(DIM, 11)
    banned = torch.arange(11) > 8

    def writing(start: Tensor) -> Tensor:
        token, tokens, is_done = start[:, 0], [], torch.zeros(1, dtype=torch.bool)
        for _ in range(start.shape[1]):
            token = torch.where(is_done, 0, (table[token] @ weight).masked_fill(banned, -math.inf).argmax(-1))
            is_done = is_done | (token == 1)
            tokens.append(token)
        return torch.stack(tokens, 1)

    assert dict(work_span(writing, torch.randint(11, (1, N))).wide) == {}


@pytest.mark.parametrize("kind", [torch.long, torch.float, torch.bool], ids=str)
def test_a_mask_that_is_given_beside_the_input(kind: torch.dtype) -> None:
    for close in (
        lambda s, m: s.masked_fill(m == 0, -1e9),
        lambda s, m: torch.where(m > 0, s, torch.tensor(-math.inf)),
        lambda s, m: s + (1 - m.float()) * torch.finfo(s.dtype).min,
        lambda s, m: _put(s, m == 0),
    ):
        found = work_span(
            lambda x, m, close=close: close(x @ x.mT, m).softmax(-1) @ x, (vectors(), OPEN.to(kind))
        )
        assert found.paths is not None
        assert found.paths.isfinite().tolist() == ONLY_BEFORE
        assert dict(found.wide) == {}


def _put(scores: Tensor, where: Tensor) -> Tensor:
    scores = scores.clone()
    scores[:, where] -= 1e9
    return scores


def test_a_number_that_is_as_large_as_the_mask_is_not_closed_by_it() -> None:
    """What is added to the mask is no longer moderate."""
    lowest = torch.finfo(torch.float32).min
    found = work_span(
        lambda x, low: x + low, (torch.full((1, N, DIM), 1e38), torch.full((DIM,), lowest)), follow=False
    )
    assert found.paths is not None
    assert found.paths.isfinite().tolist() == EACH_ALONE


def test_a_constant_by_something_is_a_constant_unless_it_is_no_number() -> None:
    weight = torch.zeros(N, 1)
    assert work_span(lambda x: weight / x, vectors()).path == 1  # what is given may be any number
    whole = torch.arange(N * DIM).view(1, N, DIM)
    for kind in (torch.float, torch.bool, torch.long):
        assert work_span(lambda x, kind=kind: torch.zeros(N, 1, dtype=kind) / x, vectors()).path is None
        assert work_span(lambda x, kind=kind: torch.zeros(N, 1, dtype=kind) / x, whole).path == 1


@pytest.mark.parametrize(
    "layer",
    [nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Conv2d(3, 3, 2), nn.Unfold(2)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_batch_of_nothing(layer: nn.Module) -> None:
    found = work_span(layer, torch.randn(0, 3, 4, 4))
    assert (found.work, dict(found.unknown), dict(found.wide)) == (0, {}, {})


def test_what_is_compared_with_a_number_as_far_as_itself_waits_for_it() -> None:
    for function in (
        lambda x: (x + 10000) == 10001,
        lambda x: torch.minimum(x + 10000, torch.tensor(10001.0)),
        lambda x: (x + 10000).clamp(max=10001),
    ):
        found = work_span(lambda x, function=function: function(x).float(), vectors(), follow=False).paths
        assert found is not None
        assert found.isfinite().tolist() == EACH_ALONE


def test_a_mask_is_none_once_it_is_multiplied_by_what_may_be_below_zero() -> None:
    def turned(x: Tensor) -> Tensor:
        return ((x @ x.mT + CLOSED * -1e9) * x[..., :1]).softmax(-1) @ x

    found = work_span(turned, vectors().abs(), follow=False).paths
    assert found is not None
    assert found.isfinite().all()


# Routing.

ROUTER, EXPERTS = torch.randn(DIM, 4), torch.randn(4, DIM, DIM)


def _by_scatter(x: Tensor) -> Tensor:
    scores = x @ ROUTER
    best, which = scores.topk(2, -1)
    gate = torch.zeros_like(scores).scatter(-1, which, best.softmax(-1))
    return torch.einsum("bne,eij,bnj->bni", gate, EXPERTS, x)


def _by_one_hot(x: Tensor) -> Tensor:
    return torch.einsum("bne,eij,bnj->bni", F.one_hot((x @ ROUTER).argmax(-1), 4).float(), EXPERTS, x)


def _by_lookup(x: Tensor) -> Tensor:
    return (EXPERTS[(x @ ROUTER).argmax(-1)] @ x[..., None])[..., 0]


def _by_writing(x: Tensor) -> Tensor:
    best, which = (x @ ROUTER).topk(2, -1)
    gate = torch.zeros(1, x.shape[1], 4)
    gate[torch.zeros(1, 1, 1, dtype=torch.long), torch.arange(x.shape[1])[None, :, None], which] = best
    return gate


def _by_adding(x: Tensor) -> Tensor:
    return torch.zeros(1, x.shape[1], 4).scatter_add(-1, (x @ ROUTER).topk(2, -1).indices, x[..., :2])


def _where_negative(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


@pytest.mark.parametrize(
    "function", [_by_scatter, _by_one_hot, _by_lookup, _by_writing, _by_adding, _where_negative]
)
def test_each_position_is_routed_by_itself(function: Callable[[Tensor], Tensor]) -> None:
    assert reached(function) == EACH_ALONE


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x[x[..., 0] > 0][None], "aten::index.Tensor"),
        (lambda x: x[0, (x[0, :, 0] > 0).nonzero()[:, 0]][None], "aten::nonzero"),
        (lambda x: x.masked_select(x > 0)[None], "aten::masked_select"),
        (lambda x: x.unique(), "aten::_unique2"),
        (lambda x: x[0].to_sparse().to_dense()[None], "aten::_to_dense (sparse)"),
        (lambda x: (torch.eye(N).to_sparse_csr() @ x[0])[None], "aten::mm (sparse)"),
    ],
)
def test_what_is_not_followed_is_named(function: Callable[[Tensor], Tensor], named: str) -> None:
    found = work_span(function, vectors())
    assert any(one.startswith(named) for one in [*found.wide, *found.unknown]), (found.wide, found.unknown)
    assert found.connected > 0


# Complex numbers, packed sequences, what cannot be looked into.


def _rotated(x: Tensor) -> Tensor:
    turned = torch.view_as_complex(x.view(1, N, DIM // 2, 2)) * torch.polar(
        torch.ones(N, 4), torch.randn(N, 4)
    )
    return torch.view_as_real(turned).flatten(2)


def _halves(x: Tensor) -> Tensor:
    both = torch.zeros(1, N, DIM, dtype=torch.complex64)
    both.real.copy_(x)
    both.imag.copy_(x.flip(1))
    return both.real


def test_complex_numbers_are_followed_number_by_number() -> None:
    assert reached(_rotated) == EACH_ALONE
    assert reached(_halves) == EACH_ALONE
    assert reached(lambda x: torch.complex(x, x.flip(1)).real * 2) == EACH_ALONE
    assert reached(lambda x: torch.complex(x, x).conj().mul(2).resolve_conj().imag) == EACH_ALONE
    assert reached(lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=2), dim=2)) == EACH_ALONE
    assert reached(lambda x: x.view(torch.int32).view(torch.float32) + 0) == EACH_ALONE


HALVES: dict[str, Callable[[Tensor], Tensor]] = {
    "copied": lambda z: z.clone(),
    "of another kind": lambda z: z.to(torch.complex128),
    "joined": lambda z: torch.cat([z, z], 2),
    "added": lambda z: z + z - 1,
    "in place": lambda z: z.add_(1),
    "with real numbers": lambda z: z + torch.ones(DIM) * 2,
    "scaled": lambda z: z * 2.0 / torch.full((DIM,), 3.0),
    "summed": lambda z: z.sum(-1, keepdim=True),
    "looked up": lambda z: z[:, torch.arange(N)],
    "chosen": lambda z: torch.where(torch.ones(N, 1, dtype=torch.bool), z, -z),
    "conjugated": lambda z: z.conj().resolve_conj(),
    "turned four times": lambda z: z * 1j / -2j * (1j * 2j),
    "turned and added": lambda z: z.imag * 1j + z.real,
}


@pytest.mark.parametrize("name", HALVES)
def test_each_half_of_a_complex_number_waits_for_its_own(name: str) -> None:
    assert reached(lambda x: HALVES[name](torch.complex(x, x.flip(1))).real * 1) == EACH_ALONE
    assert reached(lambda x: HALVES[name](torch.complex(x.flip(1), x)).imag * 1) == EACH_ALONE


def test_what_is_multiplied_by_the_imaginary_unit_swaps_its_halves() -> None:
    assert reached(lambda x: (torch.complex(x, x.flip(1)) * 1j).imag * 1) == EACH_ALONE
    assert reached(lambda x: (torch.complex(x.flip(1), x) / 1j).real * 1) == EACH_ALONE
    assert reached(lambda x: (x + 1j * x.flip(1)).real * 1) == EACH_ALONE
    assert reached(lambda x: (torch.complex(x, x.flip(1)) * (1 + 1j)).imag * 1) != EACH_ALONE


@pytest.mark.parametrize(("cell", "path"), [(nn.GRU, "3 n + 1"), (nn.LSTM, "2 n + 5"), (nn.RNN, "3 n")])
def test_a_packed_sequence_is_a_chain_like_any_other(cell: type[nn.RNNBase], path: str) -> None:
    layer = cell(DIM, DIM, batch_first=True)

    def packed(x: Tensor) -> Tensor:
        output, _ = layer(pack_padded_sequence(x, [x.shape[1]], batch_first=True))
        return pad_packed_sequence(output, batch_first=True)[0]

    found, plain = growth(vectors, packed, LENGTHS), growth(vectors, layer, LENGTHS)
    assert (str(found.path), str(found.span)) == (str(plain.path), str(plain.span))
    assert str(found.path) == path
    assert dict(found.unknown) == {}


def test_a_layout_that_hides_its_numbers_is_an_error_of_three_lines() -> None:
    with pytest.raises(AtonceError, match=r"nested tensor(.|\n)*why:(.|\n)*fix: "):
        work_span(lambda x: torch.nested.nested_tensor([x[0], x[0, :3]]).sin(), vectors())


# Control flow and operations of higher order.


def _chain(x: Tensor) -> Tensor:
    state, states = torch.zeros(1, DIM), []
    for value in x.unbind(1):
        state = (state + value).tanh()
        states.append(state)
    return torch.stack(states, 1)


def test_a_condition_is_read_and_its_branch_is_measured() -> None:
    def branching(x: Tensor) -> Tensor:
        return torch.cond(x[:, 0].sum() > 0, lambda a: a.sin(), lambda a: a.cos().exp(), (x,))

    ones = torch.ones(1, N, DIM)
    assert (work_span(branching, ones).span, work_span(branching, -ones).span) == (3, 4)
    assert work_span(branching, ones).reads == 1
    assert work_span(branching, ones.clone().requires_grad_()).span == 3


def test_loops_of_higher_order_are_measured_by_their_bodies() -> None:
    from torch._higher_order_ops import associative_scan, scan, while_loop

    def scanned(x: Tensor) -> Tensor:
        return scan(lambda s, v: ((s + v).tanh(), (s + v).tanh()), torch.zeros(1, DIM), x, dim=1)[1]

    def looped(x: Tensor) -> Tensor:
        return while_loop(lambda n, a: n < 3, lambda n, a: (n + 1, a * 2), (torch.tensor(0), x))[1]

    written = growth(vectors, _chain, LENGTHS)
    found = growth(vectors, scanned, LENGTHS)
    assert (found.span.law, found.span.slope) == (written.span.law, written.span.slope) == ("linear", 2)
    assert work_span(looped, vectors()).span >= 3
    pairs = growth(vectors, lambda x: associative_scan(torch.add, x, 1, combine_mode="generic"), (8, 16, 32))
    assert pairs.span.law == "logarithmic"


def test_attention_that_is_put_together_is_measured_as_its_parts() -> None:
    flex = pytest.importorskip("torch.nn.attention.flex_attention")

    def causal(x: Tensor) -> Tensor:
        shut = lambda s, b, h, i, j: torch.where(i >= j, s, -math.inf)  # noqa: E731
        return flex.flex_attention(x[None], x[None], x[None], score_mod=shut)[0]

    assert reached(causal) == ONLY_BEFORE


def test_what_is_compiled_traced_or_mapped_is_measured_as_it_is_written() -> None:
    program = torch.compile(lambda x: x.sin().exp(), fullgraph=True)
    assert work_span(program, vectors()).span == 2
    assert work_span(torch.jit.trace(lambda x: x.sin().exp(), vectors()), vectors()).span == 2
    assert work_span(torch.vmap(lambda x: x.sin().exp()), vectors()).span == 2
    assert reached(torch.vmap(lambda x: x.sin().exp())) == EACH_ALONE
    assert work_span(lambda x: torch.func.grad(lambda a: a.sin().sum())(x), vectors()).unknown == {}
    assert work_span(lambda x: torch.func.hessian(lambda a: a.pow(3).sum())(x[0, 0]), vectors()).unknown == {}


def test_what_is_done_to_many_tensors_at_once_is_done_to_each() -> None:
    def program(x: Tensor) -> Tensor:
        copy = x.clone()
        torch._foreach_mul_([copy], 2.0)
        return torch._foreach_addcmul([copy], [x], [x], value=0.5)[0]

    assert reached(program) == EACH_ALONE
    assert work_span(program, vectors()).span == 2


def test_results_that_are_written_to_a_given_tensor() -> None:
    assert reached(lambda x: torch.add(x, x, out=torch.empty(0))) == EACH_ALONE
    assert reached(lambda x: torch.cat([x, x], 2, out=torch.empty(0))) == EACH_ALONE
    assert reached(lambda x: torch.linalg.norm(x, dim=2, out=torch.empty(0))) == EACH_ALONE


# What Python reads.

READ: dict[str, Callable[[Tensor], Tensor]] = {
    "filled": lambda x: torch.full((1, N), x.sum().item()),
    "written as a list": lambda x: torch.tensor(x.tolist()),
    "by NumPy": lambda x: torch.from_numpy(x.numpy() > 0),
    "by another library": lambda x: torch.from_dlpack(x) * 2,
    "tensors in a list": lambda x: torch.tensor([[x[0, place, 0] for place in range(N)]]),
    "looked at where it is greatest": lambda x: x[:, int(x[0, :, 0].argmax())],
    "looked at by a tensor": lambda x: x[:, x[0, :, 0].argmax()],
    "one or the other": lambda x: (lambda one, other: one if x.sum() > 0 else other)(x * 2, x * 3),
    "a factor of zero": lambda x: torch.ones(1, N) * int(x.sum() > 100),
}


@pytest.mark.parametrize("name", READ)
def test_all_that_comes_out_after_a_number_was_read_waits_for_it(name: str) -> None:
    found = work_span(READ[name], vectors(), follow=False)
    assert found.reads > 0
    assert found.connected == 1


def test_a_chain_that_goes_through_python_is_a_chain() -> None:
    def function(x: Tensor) -> Tensor:
        value = x.sum().item()
        for _ in range(x.shape[1]):
            value = torch.tensor(value).tanh().item()
        return torch.tensor([value])

    assert str(growth(vectors, function, LENGTHS).span) == "n + 1"


# What surrounds a program.


def test_a_tensor_that_is_made_larger_keeps_what_it_waits_for() -> None:
    with warnings.catch_warnings():
        assert reached(lambda x: x.clone().resize_(1, N + 2, DIM)[:, :N] * 2) == EACH_ALONE


def test_positions_may_be_counted_from_the_last_dimension() -> None:
    for dim in (1, -2):
        found = work_span(lambda x: x.cumsum(1), vectors(), position_dim=dim).paths
        assert found is not None
        assert found.isfinite().tolist() == ONLY_BEFORE


def test_a_program_that_has_frozen_torchs_flags_can_be_measured() -> None:
    try:
        torch.backends.disable_global_flags()
        assert work_span(nn.LSTM(DIM, DIM, batch_first=True), vectors()).span == 7 * N
    finally:  # torch.backends is an object in place of its module, whose names are only found here
        torch.backends.disable_global_flags.__globals__["__allow_nonbracketed_mutation_flag"] = True


def test_one_dimension_is_enough() -> None:
    values = torch.randn(5, dtype=torch.float64)
    for function in (lambda v: v.cumsum(0), lambda v: v * 2, lambda v: v.sum()):
        found = work_span(function, values).paths
        assert found is not None
        assert found.isfinite().equal(reach(function, values))
        assert found.isfinite().equal(influence(function, values) > 0)


LOGARITHMIC: dict[str, Callable[[Tensor], Tensor]] = {
    "sorted": lambda x: x.sort(1).values,
    "best": lambda x: x.topk(2, 1).values,
    "middle": lambda x: x.median(1).values,
    "waves": lambda x: torch.fft.fft(x, dim=1).real,
    "real waves": lambda x: torch.fft.rfft(x, dim=1).abs(),
    "running sum": lambda x: x.cumsum(1),
    "searched": lambda x: torch.searchsorted(torch.arange(float(x.shape[1])), x),
    "counted": lambda x: x.histc(5),
    "added by place": lambda x: torch.zeros(1, 2, DIM).index_add(1, torch.arange(x.shape[1]) % 2, x),
    "greatest by place": lambda x: torch.zeros(1, 2, DIM).scatter_reduce(
        1, (torch.arange(x.shape[1]) % 2)[None, :, None].expand_as(x), x, "amax"
    ),
    "each once": lambda x: x[..., 0].round().unique(),
}


@pytest.mark.parametrize("name", LOGARITHMIC)
def test_what_takes_logarithmic_time_on_many_processors_is_counted_so(name: str) -> None:
    found = growth(vectors, LOGARITHMIC[name], (8, 16, 32, 64))
    assert found.span.law == "constant"
    assert (found.span_pram.law, round(found.span_pram.slope)) == ("logarithmic", 1)


def test_elimination_goes_column_by_column() -> None:
    found = growth(lambda n: torch.randn(n, n), lambda m: torch.linalg.solve(m, m[:, :1]), (8, 16, 32, 64))
    assert (found.span.law, found.span_pram.law, found.work.law) == ("constant", "linearithmic", "quadratic")


def test_substitution_goes_row_by_row() -> None:
    lower = torch.randn(N, N).tril() + 5 * torch.eye(N)
    assert reached(lambda x: torch.linalg.solve_triangular(lower, x[0], upper=False)[None]) == ONLY_BEFORE
