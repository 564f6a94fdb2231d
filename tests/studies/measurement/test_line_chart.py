import itertools

import pytest

from atonce.studies.measurement.line_chart import axis_values


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        (0.011, 0.056, [0.015, 0.02, 0.03, 0.04, 0.05]),
        (9e3, 7e5, [1e4, 2e4, 5e4, 1e5, 2e5, 5e5]),
        (1.7, 500.0, [3, 10, 30, 100, 300]),
    ],
)
def test_the_axis_has_round_numbers(low: float, high: float, values: list[float]) -> None:
    assert axis_values(low, high) == pytest.approx(values)


@pytest.mark.parametrize("ratio", [1.6, 5.0, 40.0, 1e3, 1e7, 1e12])
def test_numbers_on_the_axis_have_room_whatever_its_range(ratio: float) -> None:
    values = axis_values(0.7, 0.7 * ratio)
    assert 1 <= len(values) <= 7
    assert all(0.7 <= one < other <= 0.7 * ratio for one, other in itertools.pairwise(values))
