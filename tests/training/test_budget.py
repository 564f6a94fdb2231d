"""Law: a training of so many minutes takes them, within 5 %, however its machine's speed changes."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.errors import RunError
from atonce.runs.json_lines import JsonLines
from atonce.training.budget import UNPLANNED_UPDATES, VALIDATIONS, StepBudget, TimeBudget
from atonce.training.optimizers import rate_factor

Speed = Callable[[float], float]
"""How many times slower the machine is than when it is idle, at a second of the training."""


def idle(_: float) -> float:
    return 1.0


class Training:
    """Drives a budget as the training loop does, on a machine whose speed is given."""

    def __init__(
        self,
        budget: TimeBudget,
        *,
        slower: Speed = idle,
        update: float = 0.1,
        validation: float = 1.0,
        step: int = 0,
        seconds: float = 0.0,
        warming_up: float = 3,
    ) -> None:
        self.budget = budget
        self.cold = {step + 1: warming_up, step + 2: warming_up}
        self.slower, self.update, self.validation = slower, update, validation
        self.step, self.seconds = step, seconds
        self.validated: list[int] = []
        self.planned: list[float | None] = []
        """What the schedule saw at each step."""

    def steps(self) -> Iterator[int]:
        while not self.budget.is_over(self.step):
            self.step += 1
            self.planned.append(self.budget.planned_steps(self.step))
            duration = self.update * self.slower(self.seconds) * self.cold.get(self.step, 1)
            self.seconds += duration
            self.budget.update(self.step, self.seconds, duration)
            if self.budget.is_validated(self.step):
                took = self.validation * self.slower(self.seconds)
                self.seconds += took
                self.budget.validated(self.step, took)
                self.validated.append(self.step)
            yield self.step
            assert self.step < 100_000

    def to_end(self) -> "Training":
        assert all(self.steps())
        return self


def journal(path: Path) -> JsonLines:
    return JsonLines(path, required="first", if_deleted="the rest is planned anew")


# Updates


def test_a_step_budget_is_what_it_is() -> None:
    budget = StepBudget(7)
    budget.update(5, 1e9, 1e9)
    assert [budget.is_over(step) for step in (6, 7)] == [False, True]
    assert budget.planned_steps(3) == budget.expected_steps(3) == 7
    assert budget.share(7) == 1


def test_a_step_budget_validates_eight_times_or_as_told() -> None:
    assert [step for step in range(1, 81) if StepBudget(80).is_validated(step)] == list(range(10, 81, 10))
    assert [step for step in range(1, 11) if StepBudget(10, 4).is_validated(step)] == [4, 8, 10]


# Minutes


@pytest.mark.parametrize("minutes", [0.5, 2.0])
@pytest.mark.parametrize("update", [0.05, 0.3])
def test_an_idle_machine_uses_its_minutes(minutes: float, update: float) -> None:
    done = Training(TimeBudget(minutes), update=update, validation=0.5).to_end()
    assert done.seconds == pytest.approx(60 * minutes, rel=0.01)
    assert done.validated[-1] == done.step


@settings(max_examples=15)
@given(
    minutes=st.floats(1, 3),
    changes=st.lists(st.tuples(st.floats(10, 170), st.floats(0.2, 5.0)), max_size=5),
    update=st.floats(0.1, 0.5),
    validation=st.floats(0, 1.0),
)
def test_the_minutes_are_kept_whatever_the_speed(
    minutes: float, changes: list[tuple[float, float]], update: float, validation: float
) -> None:
    """The machine gets busier or freer at any time after the first 10 s, up to five times in each way."""

    def slower(second: float) -> float:
        return next((by for since, by in sorted(changes, reverse=True) if since <= second), 1.0)

    # The last validation may itself meet a machine that has become slower: no plan can know that.
    last = max((since for since, _ in changes if since < 60 * minutes), default=0.0)
    spared = 60 * minutes - last > 5 * (validation + 5 * update)
    done = Training(TimeBudget(minutes), slower=slower, update=update, validation=validation).to_end()
    if spared:
        assert done.seconds == pytest.approx(60 * minutes, rel=0.05, abs=2.5 * update)


def test_the_rate_follows_the_share_of_the_time_that_is_used() -> None:
    """A machine three times slower in its second half: half of the rate is left at half of the time."""
    training = Training(TimeBudget(2.0), slower=lambda second: 1.0 if second < 60 else 3.0, validation=0.0)
    factors = []
    for step in training.steps():
        began = training.seconds
        planned = training.planned[-1]
        factors.append((began, rate_factor(step, schedule="linear", warmup=20, steps=planned)))
    for second, factor in factors[40:]:
        assert factor == pytest.approx(1 - second / 120, abs=0.03)
    assert max(abs(one - other) for (_, one), (_, other) in pairwise(factors[20:])) < 0.02
    assert 0 < factors[-1][1] < 0.01


def test_the_warm_up_is_not_cut_off_where_the_first_updates_are_slow() -> None:
    training = Training(TimeBudget(2.0), validation=0.0).to_end()
    rates = [
        rate_factor(step, schedule="linear", warmup=50, steps=planned)
        for step, planned in enumerate(training.planned, start=1)
    ]
    assert rates[:50] == pytest.approx([step / 50 for step in range(1, 51)])
    assert max(rates) == rates[49] == 1


def test_validations_come_at_equal_shares() -> None:
    done = Training(TimeBudget(4.0), update=0.1, validation=0.0).to_end()
    assert len(done.validated) == VALIDATIONS
    eighth = done.step / VALIDATIONS
    assert done.validated == pytest.approx([eighth * n for n in range(1, 9)], abs=12)


@pytest.mark.parametrize(("minutes", "validation"), [(2.0, 20.0), (2.0, 10.0), (5.0, 30.0)])
def test_long_validations_leave_time_to_learn(minutes: float, validation: float) -> None:
    done = Training(TimeBudget(minutes), validation=validation).to_end()
    assert done.seconds == pytest.approx(60 * minutes, rel=0.05)
    assert len(done.validated) * validation <= 0.5 * done.seconds
    assert done.validated[-1] == done.step


@pytest.mark.parametrize(("minutes", "validation"), [(0.3, 6.0), (1.0, 20.0), (0.3, 30.0)])
def test_a_first_validation_that_is_too_long_for_another_is_the_last(
    tmp_path: Path, minutes: float, validation: float
) -> None:
    """Where nothing showed how long it would be: at half of the minutes, and no longer than it has to be."""
    lines = journal(tmp_path / "budget.jsonl")
    done = Training(TimeBudget(minutes, lines), validation=validation).to_end()
    assert done.seconds <= max(1.25 * 60 * minutes, 30 * minutes + validation + 0.5)
    assert TimeBudget(minutes, lines, done=done.step, seconds=done.seconds).is_over(done.step)
    replayed = Training(TimeBudget(minutes, lines), slower=lambda _: 2.0, validation=0.1).to_end()
    assert (replayed.step, replayed.planned, replayed.validated) == (done.step, done.planned, done.validated)


def test_few_minutes_have_few_validations_but_two() -> None:
    assert len(Training(TimeBudget(1.0), validation=0.2).to_end().validated) == 4
    assert len(Training(TimeBudget(0.1), update=0.01, validation=0.2).to_end().validated) == 2


@pytest.mark.parametrize("every", [1, 7, 100])
def test_a_training_that_validates_as_told_keeps_its_minutes_too(every: int) -> None:
    done = Training(TimeBudget(1.0, validate_every=every), update=0.1, validation=2.0).to_end()
    assert done.seconds == pytest.approx(60, rel=0.05)
    assert set(range(every, done.step, every)) <= set(done.validated)


@pytest.mark.parametrize("second", range(40, 59, 2))
def test_an_update_that_is_held_up_does_not_end_the_training(second: int) -> None:
    """Time is kept free for the last validation by what updates take, and this one says nothing of it."""
    training = Training(TimeBudget(1.0), update=0.05, validation=1.2)
    held = 0
    for step in training.steps():
        if not held and training.seconds >= second:
            held = step + 1
            training.cold[held] = 40
    assert training.seconds == pytest.approx(60, rel=0.05)
    assert 0 < held <= training.step


def test_updates_that_are_longer_than_the_budget() -> None:
    done = Training(TimeBudget(0.001), update=30.0, validation=0.0).to_end()
    assert done.step <= UNPLANNED_UPDATES


def test_what_is_expected_is_said_and_becomes_true() -> None:
    budget = TimeBudget(1.0)
    assert budget.expected_steps(0) is None
    training = Training(budget, update=0.1, validation=0.5)
    expected = [budget.expected_steps(step) for step in training.steps()]
    assert expected[50] == pytest.approx(training.step, rel=0.1)
    assert expected[-1] == training.step
    assert budget.share(training.step) == 1


# Resuming


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4, 50, 177, 560])
@pytest.mark.parametrize("back", [0, 1, 30])
def test_a_resumed_training_follows_what_was_written(tmp_path: Path, killed_after: int, back: int) -> None:
    """From an earlier checkpoint, on a machine five times slower: the same plans, up to the kill."""
    lines = journal(tmp_path / "budget.jsonl")
    killed = Training(TimeBudget(1.0, lines), validation=0.5)
    seconds = [0.0]
    for step in killed.steps():
        seconds.append(killed.seconds)
        if step == killed_after:
            break
    checkpoint = max(0, killed_after - back)
    again = Training(
        TimeBudget(1.0, lines, done=checkpoint, seconds=seconds[checkpoint]),
        slower=lambda _: 5.0,
        validation=0.5,
        step=checkpoint,
        seconds=seconds[checkpoint],
    ).to_end()
    assert again.planned[: killed_after - checkpoint] == killed.planned[checkpoint:]
    before = [step for step in killed.validated if step > checkpoint]
    assert [step for step in again.validated if step <= killed_after] == before
    assert again.seconds <= 60 * 1.05 + 5 * 0.1 * back  # what was lost is made again, at five times the price


@pytest.mark.parametrize(("every", "validation"), [(10, 10.0), (None, 3.0)])
@pytest.mark.parametrize("paused_after", [30, 55, 90, 110])
def test_validations_of_earlier_sessions_are_not_taken_for_updates(
    tmp_path: Path, every: int | None, validation: float, paused_after: int
) -> None:
    """Nor are the first updates of a session, which are slow, taken for what all the rest will be."""
    lines = journal(tmp_path / "budget.jsonl")
    first = Training(TimeBudget(2.0, lines, validate_every=every), update=0.02, validation=validation)
    for _ in first.steps():
        if first.seconds > paused_after:
            break
    again = Training(
        TimeBudget(
            2.0,
            lines,
            validate_every=every,
            update_seconds=first.budget.update_seconds,
            validation_updates=first.budget.validation_updates,
            done=first.step,
            seconds=first.seconds,
        ),
        update=0.02,
        validation=validation,
        step=first.step,
        seconds=first.seconds,
        warming_up=50,
    ).to_end()
    assert again.seconds == pytest.approx(120, rel=0.05, abs=validation)


def test_a_training_that_was_killed_at_its_end_ends_there(tmp_path: Path) -> None:
    lines = journal(tmp_path / "budget.jsonl")
    done = Training(TimeBudget(0.5, lines)).to_end()
    again = Training(
        TimeBudget(0.5, lines, done=done.step - 5, seconds=10.0),
        update=0.001,
        step=done.step - 5,
        seconds=10.0,
    ).to_end()
    assert again.step == done.step
    assert TimeBudget(0.5, lines, done=done.step, seconds=30.0).is_over(done.step)


def test_a_plan_cut_off_by_a_kill_never_held(tmp_path: Path) -> None:
    lines = journal(tmp_path / "budget.jsonl")
    done = Training(TimeBudget(0.5, lines)).to_end()
    whole = lines.read()
    with lines.path.open("a") as file:
        file.write('{"first": 100000, "la')
    assert TimeBudget(0.5, lines, done=done.step, seconds=30.0).is_over(done.step)
    assert lines.read() == whole
    assert lines.path.read_text().endswith("\n")


def test_where_the_plans_are_lost_the_rest_is_planned_anew(tmp_path: Path) -> None:
    done = Training(
        TimeBudget(1.0, journal(tmp_path / "none"), done=300, seconds=30.0), step=300, seconds=30.0
    )
    assert done.to_end().seconds == pytest.approx(60, rel=0.05)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"first": 4, "until": 5, "share": 0.1, "validate": false}',
        *(
            "\n".join(
                f'{{"first": {first}, "last": {last}, "share": {share}, "validate": false}}'
                for first, last, share in plans
            )
            for plans in (
                [("Infinity", 5, 0.1)],
                [(4, "null", 0.1)],
                [(4, 5, "NaN")],
                [(4, 5, 1.5)],
                [(4, 2, 0.1)],
                [(4, 900, 0.1), (10, 12, 0.2)],
                [(4, 5, 0.3), (6, 7, 0.2)],
                [(4, 3, 1.0), (4, 7, 1.0)],
            )
        ),
    ],
)
def test_damaged_plans_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "budget.jsonl").write_text(text + "\n")
    with pytest.raises(RunError, match=r"budget\.jsonl is damaged"):
        TimeBudget(1.0, journal(tmp_path / "budget.jsonl"))


def test_the_plans_of_a_training_are_few(tmp_path: Path) -> None:
    lines = journal(tmp_path / "budget.jsonl")
    done = Training(TimeBudget(1.0, lines), update=0.005, validation=0.1).to_end()
    assert done.step > 8_000
    assert len(lines.read()) < 3_000
