"""Laws are found in numbers that follow them, and in those that nearly do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.measure.growth import law_of

LENGTHS = (8, 16, 32, 64)
FUNCTIONS = {
    "constant": lambda n: 1.0,
    "logarithmic": math.log2,
    "linear": float,
    "linearithmic": lambda n: n * math.log2(n),
    "quadratic": lambda n: float(n * n),
}


@given(st.sampled_from(sorted(FUNCTIONS)), st.integers(1, 50), st.integers(0, 100))
def test_every_law_is_found_with_its_slope(name: str, slope: int, rest: int) -> None:
    rest = rest if name != "constant" else 0
    found = law_of(
        {n: slope * FUNCTIONS[name](n) + rest * (n if name == "quadratic" else 1) for n in LENGTHS}
    )
    if name == "logarithmic" and slope * 3 <= 0.05 * rest:
        return  # hardly grows: as good as constant
    assert found.error < 0.02
    if found.law == name:
        assert found.slope == pytest.approx(slope, rel=1e-6)
    else:  # a slower law that is as near as makes no difference
        assert list(FUNCTIONS).index(found.law) < list(FUNCTIONS).index(name)


@pytest.mark.parametrize(
    ("values", "law", "formula"),
    [
        ({8: 24, 16: 48, 32: 96, 64: 192}, "linear", "3 n"),
        ({8: 21, 16: 37, 32: 69, 64: 133}, "linear", "2 n + 5"),
        ({8: 13, 16: 13}, "constant", "13"),
        ({8: 211, 16: 212, 32: 212}, "constant", "about 212"),
        ({8: 46, 16: 48, 32: 50, 64: 52}, "logarithmic", "2 log2 n + 40"),
        ({8: 16.0, 16: 56.0, 32: 208.0, 64: 800.0}, "quadratic", "0.1875 n² + 0.5 n"),
        ({8: 24, 16: 64, 32: 160, 64: 384}, "linearithmic", "n log2 n"),
        ({8: 5, 16: 5, 32: 5, 64: None}, "constant", "5"),
    ],
)
def test_it_is_written_as_one_would_write_it(values, law, formula) -> None:
    found = law_of(values)
    assert (found.law, str(found)) == (law, formula)


def test_nothing_to_follow() -> None:
    for values in ({}, {8: 3}, {8: None, 16: None}):
        found = law_of(values)
        assert found.law is None
        assert math.isnan(found.slope)
        assert str(found) == "–"
