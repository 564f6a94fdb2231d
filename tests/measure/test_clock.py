"""The clock: ratios of calls that run in turn, what autograd keeps, and Brent's bound."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from atonce.measure.clock import kept_bytes, medians, sure_speedup


def test_each_call_is_timed_and_warmed_up() -> None:
    runs = [0, 0]

    def call(number: int) -> None:
        runs[number] += 1

    found = medians([lambda: call(0), lambda: call(1)], threads=1, seconds=1e-4)
    assert all(0 < seconds < 0.01 for seconds in found)
    assert min(runs) > 3


def test_a_call_that_does_more_takes_longer() -> None:
    small, large = torch.randn(8, 8), torch.randn(512, 512)
    one, other = medians([lambda: small @ small, lambda: large @ large], threads=1, seconds=0.01)
    assert other > one


def test_the_number_of_threads_is_as_asked_for_and_as_before_afterwards() -> None:
    before, seen = torch.get_num_threads(), set()
    medians([lambda: seen.add(torch.get_num_threads())], threads=1, seconds=1e-4)
    assert seen == {1}
    assert torch.get_num_threads() == before


def test_what_is_kept_for_the_backward_pass() -> None:
    layer = nn.Linear(16, 16, bias=False)
    inputs = torch.randn(4, 16)
    weights = 16 * 16 * 4
    assert kept_bytes(lambda: layer(inputs)) == 4 * 16 * 4  # of the inputs; their gradient is not wanted
    assert kept_bytes(lambda: layer(inputs.requires_grad_())) == 4 * 16 * 4 + weights
    assert kept_bytes(lambda: layer(inputs.detach()).exp()) == 2 * 4 * 16 * 4  # and what exp gave
    with torch.no_grad():
        assert kept_bytes(lambda: layer(inputs)) == 0


@given(st.floats(1, 1e12), st.floats(0, 1), st.integers(1, 10_000))
def test_what_is_sure_is_no_more_than_can_be(work: float, share: float, processors: int) -> None:
    span = max(1.0, share * work)
    sure = sure_speedup(work, span, processors)
    assert 1 - 1e-9 <= sure <= min(processors, work / span) * (1 + 1e-9)


def test_a_chain_gains_nothing_and_a_wide_program_nearly_all() -> None:
    assert sure_speedup(100.0, 100.0, 2) == pytest.approx(1)
    assert sure_speedup(1e9, 1.0, 2) == pytest.approx(2)
