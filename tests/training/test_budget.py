import pytest

from atonce.training.budget import CALIBRATION_SHARE, UNTYPICAL_STEPS, VALIDATION_SHARE, Budget

MINUTES = 1.0
FIRST_KNOWN = CALIBRATION_SHARE * 60 * MINUTES


def planned(budget: Budget, *, seconds_a_step: float, first_steps: float = 0.0) -> int:
    """The steps planned, where each takes so long and the first few take `first_steps` more altogether."""
    step = 0
    while budget.steps is None:
        step += 1
        budget.observe(step, step * seconds_a_step + first_steps)
        assert step < 10_000
    return budget.steps


def test_a_step_budget_is_what_it_is() -> None:
    budget = Budget(7, None)
    budget.observe(5, 1e9)
    assert budget.steps == 7


def test_steps_that_are_known_win_over_minutes() -> None:
    """As in a resumed training: what was planned stays planned, however slow the machine is now."""
    budget = Budget(7, MINUTES)
    budget.observe(5, 1e9)
    assert budget.steps == 7


def test_without_any_budget_there_is_no_end() -> None:
    budget = Budget(None, None)
    budget.observe(5, 1e9)
    assert budget.steps is None


@pytest.mark.parametrize("seconds_a_step", [0.01, 0.1, 0.5])
def test_time_becomes_as_many_steps_as_fit(seconds_a_step: float) -> None:
    steps = planned(Budget(None, MINUTES), seconds_a_step=seconds_a_step)
    assert steps * seconds_a_step == pytest.approx(60 * (1 - VALIDATION_SHARE), abs=2 * seconds_a_step)


def test_slow_first_steps_are_not_taken_for_the_rule() -> None:
    steps = planned(Budget(None, MINUTES), seconds_a_step=0.1, first_steps=1.5)
    used = 1.5 + steps * 0.1
    assert used == pytest.approx(60 * (1 - VALIDATION_SHARE), abs=0.2)


def test_it_is_found_out_once_and_stays() -> None:
    budget = Budget(None, MINUTES)
    steps = planned(budget, seconds_a_step=0.1)
    for step in range(30, 60):
        budget.observe(step, step * 10.0)
    assert budget.steps == steps


def test_it_is_not_known_before_its_share_of_the_time_is_over() -> None:
    budget = Budget(None, MINUTES)
    for step in range(1, 100):
        budget.observe(step, FIRST_KNOWN * step / 100)
        assert budget.steps is None
    budget.observe(100, FIRST_KNOWN)
    assert budget.steps is not None


def test_a_training_that_is_too_slow_for_its_minutes_ends_when_that_is_known() -> None:
    assert planned(Budget(None, 0.001), seconds_a_step=30.0) == UNTYPICAL_STEPS + 1


def test_a_sitting_that_begins_before_it_is_known_measures_its_own_speed() -> None:
    """Steps of earlier sittings, and the time between sittings, say nothing of the speed now."""
    budget, step, seconds = Budget(None, MINUTES), 12, 1.9
    while budget.steps is None:
        step, seconds = step + 1, seconds + 0.1
        budget.observe(step, seconds)
    assert seconds + (budget.steps - step) * 0.1 == pytest.approx(60 * (1 - VALIDATION_SHARE), abs=0.2)
