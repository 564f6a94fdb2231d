from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from atonce.layers.scan import doubling_scan, log_scan, loop_scan, pairing_scan

Scan = Callable[..., Tensor]
every_parallel_scan = pytest.mark.parametrize("scan", [doubling_scan, pairing_scan])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_logs(factors: Tensor, terms: Tensor, first: Tensor | None = None) -> Tensor:
    return log_scan(factors.log(), terms.log(), None if first is None else first.log())


def outcome(scan: Scan, *inputs: Tensor) -> list[Tensor]:
    """The states, and the gradients of a mixture of them by each of the inputs."""
    inputs = tuple(one.detach().clone().requires_grad_() for one in inputs)
    states = scan(*inputs)
    (states * drawn(*states.shape, seed=9).to(states.dtype)).sum().backward()
    return [states.detach(), *(one.grad for one in inputs)]


@st.composite
def recurrences(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Factors, some of them exactly 0 or 1, terms of either sign, and a state before the first."""
    batch, length, dim, seed = (draw(st.integers(1, most)) for most in (3, 40, 3, 1000))
    factors = drawn(batch, length, dim, seed=seed).clamp(-1, 1)
    factors[drawn(batch, length, dim, seed=seed + 1) > 1.5] = 0
    return factors, drawn(batch, length, dim, seed=seed + 2), drawn(batch, dim, seed=seed + 3)


@given(recurrences(), st.booleans())
@every_parallel_scan
def test_a_scan_equals_its_loop(scan: Scan, recurrence: tuple[Tensor, Tensor, Tensor], begun: bool) -> None:
    inputs = recurrence[: 2 + begun]
    assert_same(outcome(scan, *inputs), outcome(loop_scan, *inputs))


@given(recurrences(), st.booleans())
def test_a_scan_of_logarithms_equals_the_loop_of_positive_numbers(
    recurrence: tuple[Tensor, Tensor, Tensor], begun: bool
) -> None:
    inputs = [part.abs() + 1e-3 for part in recurrence[: 2 + begun]]
    assert_same(outcome(in_logs, *inputs), outcome(loop_scan, *inputs))


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scan", [loop_scan, doubling_scan, pairing_scan, in_logs])
@given(st.integers(1, 12), st.integers(1, 12))
def test_a_sequence_can_be_read_in_two_parts(scan: Scan, one: int, two: int) -> None:
    factors, terms = (drawn(2, one + two, 3, seed=seed).abs() for seed in (1, 2))
    whole = scan(factors, terms)
    begun = scan(factors[:, :one], terms[:, :one])
    torch.testing.assert_close(whole[:, :one], begun)
    torch.testing.assert_close(whole[:, one:], scan(factors[:, one:], terms[:, one:], begun[:, -1]))


@every_parallel_scan
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
def test_gradients_are_right_to_the_second_order(scan: Scan, length: int) -> None:
    inputs = [drawn(2, length, 2, seed=seed).requires_grad_() for seed in (1, 2)]
    inputs.append(drawn(2, 2, seed=3).requires_grad_())
    assert torch.autograd.gradcheck(scan, inputs, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(scan, inputs)


@every_parallel_scan
def test_every_position_reaches_all_later_ones_and_no_earlier_one(scan: Scan) -> None:
    factors, terms = drawn(1, 6, 2, seed=1), drawn(1, 6, 2, seed=2)
    jacobian = torch.autograd.functional.jacobian(lambda given: scan(factors, given), terms, vectorize=True)
    reached = jacobian[0, :, :, 0].abs().amax((1, 3)) > 0
    assert torch.equal(reached, torch.ones(6, 6, dtype=torch.bool).tril())


# Logits of what is kept: all but the 4e-8th part of a state, no more than that part, and now this, now that.
GATES = {"closed": 17.0, "open": -17.0, "wild": None}
every_gate = pytest.mark.parametrize("gate", GATES.values(), ids=GATES)


def long_sequence(gate: float | None) -> tuple[Tensor, Tensor]:
    """Logits of what is kept, and candidates, of 2,048 positions, as float32 holds them."""
    shape = (1, 2048, 3)
    logits = 12 * drawn(*shape) if gate is None else torch.full(shape, gate)
    return logits.float(), drawn(*shape, seed=1).float()


@every_gate
@every_parallel_scan
def test_a_long_sequence_is_exact_in_float32(scan: Scan, gate: float | None) -> None:
    logits, candidates = long_sequence(gate)
    inputs = logits.sigmoid(), (-logits).sigmoid() * candidates
    exact = outcome(loop_scan, *(one.double() for one in inputs))
    for ours, theirs in zip(outcome(scan, *inputs), exact, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours.double() / scale, theirs / scale, rtol=0, atol=1e-5)


@every_gate
def test_a_long_sequence_of_logarithms_stays_finite_in_float32(gate: float | None) -> None:
    """It cannot be exact: sums of that length lose some of the digits that logarithms need most."""
    logits, candidates = long_sequence(gate)
    inputs = F.logsigmoid(logits), F.logsigmoid(-logits) + candidates
    ours = outcome(log_scan, *inputs)
    assert all(one.isfinite().all() for one in ours)
    exact = loop_scan(*(one.double().exp() for one in inputs))
    torch.testing.assert_close(ours[0].double(), exact, rtol=2e-2, atol=0)
