import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.resampling import Resampled, measures, resampled

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=200)


@given(numbers)
def test_an_interval_holds_the_middle_of_what_was_drawn(drawn: list[float]) -> None:
    interval = Resampled(0.0, np.array(drawn)).interval
    assert min(drawn) <= interval.low <= interval.high <= max(drawn)
    outside = sum(value < interval.low or value > interval.high for value in drawn)
    assert outside <= len(drawn) / 20


@given(numbers)
def test_a_difference_is_taken_draw_by_draw(drawn: list[float]) -> None:
    one = Resampled(1.0, np.array(drawn))
    shifted = Resampled(3.0, np.array(drawn) + 2.0)
    difference = shifted - one
    assert difference.value == 2
    assert difference.interval.low == pytest.approx(2)
    assert difference.interval.high == pytest.approx(2)


def test_equal_seeds_draw_equal_sentences_whatever_the_system() -> None:
    (measure,) = measures(["exact"], ScoringLanguage.of(None, ["a"]))
    right = measure.statistics(["a", "b", "c"], ["a", "x", "x"])
    wrong = measure.statistics(["x", "b", "c"], ["a", "b", "c"])
    one, other = (resampled(measure, of, samples=50, seed=[3, 1]) for of in (right, wrong))
    # Where one system is right, the other is not: on the same draws they add up to all.
    assert one.drawn + other.drawn == pytest.approx(100)
    another = resampled(measure, right, samples=50, seed=[3, 2])
    assert not np.array_equal(one.drawn, another.drawn)
