import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.training.schedule import Schedule, rate_factor

SCHEDULES: tuple[Schedule, ...] = ("linear", "cosine", "inverse_sqrt", "constant")


def rates(schedule: Schedule, warmup: int, steps: int) -> list[float]:
    return [rate_factor(n, schedule=schedule, warmup=warmup, steps=steps) for n in range(1, steps + 1)]


@given(st.sampled_from(SCHEDULES), st.integers(0, 60), st.integers(1, 600))
def test_the_rate_rises_in_a_line_to_its_peak_and_never_again(
    schedule: Schedule, warmup: int, steps: int
) -> None:
    factors = rates(schedule, warmup, steps)
    rise = min(warmup, steps // 10)
    assert factors[:rise] == pytest.approx([n / rise for n in range(1, rise + 1)])
    assert max(factors) <= 1
    assert all(0 < later <= earlier for earlier, later in pairwise(factors[max(rise - 1, 0) :]))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_it_reaches_the_peak_at_the_end_of_the_warm_up_and_nearly_zero_at_the_end(schedule: Schedule) -> None:
    factors = rates(schedule, 100, 2000)
    assert factors[99] == 1
    assert 0 < factors[-1] < 1 / 1000
    assert factors[1049] == pytest.approx(0.5, abs=0.01), "half-way down both are half of the peak"


def test_linear_falls_in_a_line() -> None:
    falls = [earlier - later for earlier, later in pairwise(rates("linear", 0, 50))]
    assert falls == pytest.approx([1 / 51] * 49)


def test_inverse_square_root_is_that_of_the_paper() -> None:
    dim, warmup = 512, 400
    for step in (1, 7, 399, 400, 401, 5000):
        paper = dim**-0.5 * min(step**-0.5, step * warmup**-1.5)  # Vaswani 2017, equation 3
        peak = dim**-0.5 * warmup**-0.5
        factor = rate_factor(step, schedule="inverse_sqrt", warmup=warmup, steps=10_000)
        assert factor == pytest.approx(paper / peak)


def test_constant_stays() -> None:
    assert set(rates("constant", 10, 200)[9:]) == {1.0}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_while_the_steps_are_unknown_it_rises_and_waits(schedule: Schedule) -> None:
    factors = [rate_factor(n, schedule=schedule, warmup=4, steps=None) for n in range(1, 9)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    waiting = [math.sqrt(4 / n) for n in range(5, 9)] if schedule == "inverse_sqrt" else [1.0] * 4
    assert factors[4:] == waiting


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_warm_up_starts_at_the_peak(schedule: Schedule) -> None:
    assert rates(schedule, 0, 1000)[0] == pytest.approx(1, abs=1 / 500)
