"""Law: in turn, each has its minutes, and whatever the machine does meets all of them."""

from itertools import groupby

import pytest

from atonce.studies.comparison.turns import SHORTEST_SLICE, SLICES, seconds_had, slices, turns, unequal


@pytest.mark.parametrize("minutes", [0.01, 0.3, 1.0, 3.0, 15.0])
def test_each_has_its_slices_and_then_goes_to_its_end(minutes: float) -> None:
    order = list(turns(3, minutes))
    for training in range(3):
        *pauses, end = [pause for who, pause in order if who == training]
        assert end is None
        length = 60 * minutes / slices(minutes)
        assert pauses == pytest.approx([length * number for number in range(1, slices(minutes))])
        assert length >= SHORTEST_SLICE or slices(minutes) == 1
    assert slices(minutes) <= SLICES


def test_none_is_ever_more_than_a_slice_ahead() -> None:
    had = [0] * 3
    for who, _ in turns(3, 3.0):
        had[who] += 1
        assert max(had) - min(had) <= 1


def test_the_order_turns_around() -> None:
    rounds = [
        [who for who, _ in of_round] for _, of_round in groupby(turns(2, 1.0), key=lambda turn: turn[1])
    ]
    assert rounds == [[0, 1], [1, 0], [0, 1], [0, 1]]


def test_updates_are_equal_budgets_in_one_go() -> None:
    assert list(turns(2, None)) == [(0, None), (1, None)]


def test_budgets_within_five_per_cent_are_equal() -> None:
    assert unequal([180.0, 188.0], 3.0) is None
    assert unequal([180.0], 3.0) is None
    assert unequal([None, None], 3.0) is None
    said = unequal([105.0, 420.0, None], 3.0)
    assert said is not None
    assert "budget of 3 minutes: they trained for 1.75 to 7.00" in said
    assert unequal([200.0, 200.0], 3.0) is not None, "both had more than was asked for"


def test_who_stopped_of_its_own_had_its_budget() -> None:
    assert seconds_had([{"seconds": 5.0, "share": 0.4}]) is None
    assert seconds_had([{"seconds": 5.0, "share": 0.4}, {"seconds": 9.0, "share": 1.0}]) == 9.0
    assert seconds_had([{"seconds": 9.0}]) == 9.0, "of an older version"
