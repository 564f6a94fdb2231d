"""Intervals hold what was measured, are wider the more chance there is, and pair what was drawn alike."""

import random

import numpy as np
import pytest

from atonce.errors import DataError
from atonce.evaluation.intervals import SystemScores
from atonce.evaluation.significance import Metric, Resampled, paired_bootstrap
from atonce.evaluation.tasks import score

REFERENCES = [" ".join(random.Random(i).choices("abcdefgh", k=4 + i % 12)) for i in range(60)]


def damaged(share: float, seed: int) -> list[str]:
    """The references with this share of their words replaced."""
    chance = random.Random(seed)
    return [" ".join("x" if chance.random() < share else w for w in text.split()) for text in REFERENCES]


GOOD, POOR = damaged(0.2, 1), damaged(0.5, 2)


def scores_of(*, metric: Metric = "bleu", samples: int = 200, **outputs: list[list[str]]) -> SystemScores:
    return SystemScores(outputs, REFERENCES, metric=metric, samples=samples)


@pytest.mark.parametrize("metric", ["bleu", "chrf", "exact"])
def test_one_seed_is_the_paired_bootstrap(metric: Metric) -> None:
    scores = scores_of(good=[GOOD], poor=[POOR], metric=metric)
    (paired,) = paired_bootstrap(GOOD, POOR, REFERENCES, samples=200, metrics=[metric]).metrics
    good, difference = scores.score("good"), scores.score("good") - scores.score("poor")
    assert (good.value, good.interval) == (paired.system, paired.system_interval)
    assert (difference.value, difference.interval) == (paired.difference, paired.difference_interval)
    assert difference.p_value == paired.p_value
    assert scores.signature == paired.signature


def test_a_score_is_the_mean_of_those_of_the_seeds() -> None:
    scores = scores_of(system=[GOOD, POOR])
    by_seed = [score(texts, REFERENCES).bleu for texts in (GOOD, POOR)]
    assert scores.by_seed("system") == by_seed
    whole = scores.score("system")
    assert whole.value == pytest.approx(np.mean(by_seed))
    assert whole.interval.low < whole.value < whole.interval.high


def test_the_same_system_twice_does_not_differ() -> None:
    scores = scores_of(one=[GOOD], other=[GOOD])
    difference = scores.score("one") - scores.score("other")
    assert (difference.value, difference.interval.low, difference.interval.high) == (0, 0, 0)
    assert difference.p_value == 1


def test_seeds_that_agree_add_nothing_and_seeds_that_do_not_widen_the_interval() -> None:
    def width(*seeds: list[str]) -> float:
        interval = scores_of(system=list(seeds)).score("system").interval
        return interval.high - interval.low

    assert width(GOOD, GOOD, GOOD) == pytest.approx(width(GOOD))
    assert width(GOOD, POOR) > 2 * width(GOOD)


def test_seeds_of_two_systems_are_drawn_apart() -> None:
    """The first seed of one has nothing to do with the first seed of another."""
    scores = scores_of(one=[GOOD, POOR], other=[GOOD, POOR])
    difference = scores.score("one") - scores.score("other")
    assert difference.value == 0
    assert difference.interval.low < -5 < 5 < difference.interval.high


def test_a_part_is_scored_as_if_it_were_all() -> None:
    part = [3, 10, 11, 40, 59]
    value = scores_of(system=[GOOD]).score("system", part).value
    assert value == pytest.approx(score([GOOD[i] for i in part], [REFERENCES[i] for i in part]).bleu)


def test_what_is_gained_on_one_part_only_is_told_from_what_is_gained_on_both() -> None:
    long = [i for i, text in enumerate(REFERENCES) if len(text.split()) >= 10]
    short = [i for i in range(len(REFERENCES)) if i not in long]
    poor_on_long = [POOR[i] if i in long else GOOD[i] for i in range(len(REFERENCES))]
    scores = scores_of(good=[GOOD], poor=[POOR], poor_on_long=[poor_on_long])

    def growth(baseline: str) -> Resampled:
        on_long, on_short = (scores.score("good", p) - scores.score(baseline, p) for p in (long, short))
        return on_long - on_short

    assert growth("poor_on_long").interval.low > 0
    assert abs(growth("poor").value) < growth("poor_on_long").value


def test_the_answer_is_a_function_of_the_arguments() -> None:
    first, again = (scores_of(system=[GOOD, POOR]).score("system") for _ in range(2))
    assert np.array_equal(first.drawn, again.drawn)


def test_what_does_not_fit_together_is_told() -> None:
    with pytest.raises(DataError, match="59 outputs of system but 60 references"):
        scores_of(system=[GOOD[1:]])
    with pytest.raises(DataError, match="system was never trained"):
        scores_of(system=[])
