"""Names beside their lines: as near as they can be, and clear of one another."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.figures.line_ends import spread

values = st.lists(st.floats(0, 100), min_size=1, max_size=9)


@given(values)
def test_what_is_spread_keeps_its_distance_its_order_and_its_bounds(wanted: list[float]) -> None:
    places = spread(wanted, apart=10.0, low=0.0, high=100.0)
    for one, other in itertools.pairwise(sorted(places)):
        assert other - one >= 10 - 1e-9
    assert min(places) >= -1e-9
    assert max(places) <= 100 + 1e-9
    for (one, at), (other, also_at) in itertools.combinations(zip(wanted, places, strict=True), 2):
        assert one == other or (one < other) == (at < also_at)


def test_what_has_its_distance_already_stays_where_it_is() -> None:
    assert spread([50.0, 10.0, 90.0], apart=10.0, low=0.0, high=100.0) == pytest.approx([50, 10, 90])


def test_two_in_one_place_give_way_alike() -> None:
    assert sorted(spread([50.0, 50.0], apart=10.0, low=0.0, high=100.0)) == pytest.approx([45, 55])


def test_where_there_is_no_room_the_distance_is_kept() -> None:
    places = sorted(spread([1.0, 2.0, 3.0], apart=10.0, low=0.0, high=10.0))
    assert places == pytest.approx([-5, 5, 15])
