"""How much of a training is over, and when it ends: after a number of updates, or of minutes.

A number of updates is known from the start. How many updates fit into minutes is not, and changes whenever
the machine gets busier or freer. So a time budget is planned a few updates at a time: for these, the share of
the time that is used, on which the learning rate depends. Each plan is written into the run folder before it
takes effect, and a resumed training follows what was written: it makes the very same updates.
"""

import math
from collections import deque
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Protocol, runtime_checkable

from atonce.runs.json_lines import JsonLines
from atonce.training.distributed import SINGLE_PROCESS, Ranks

DEFAULT_STEPS = 5_000
"""Where a recipe gives neither steps nor minutes."""
VALIDATIONS = 8
"""In a training, where the recipe does not say."""
FEWEST_VALIDATIONS = 2
"""In minutes that are too few for eight: the first one shows how long the last one will take."""
SECONDS_A_VALIDATION = 15
"""Of the budget, at least, for each of these."""
UPDATES_FOR_VALIDATION = 4
"""For so many times as long as a validation took, updates are made before the next one: where validations are
long, there are fewer of them."""
UNPLANNED_UPDATES = 3
"""Updates before the first plan. They are slow: kernels are chosen, memory is touched for the first time."""
PLANNED_SHARE = 1 / 2000
"""Of the minutes: what is planned at once. The rate falls in steps as small as that."""
PLANNED_OF_REST = 1 / 4
"""At most this share of what is left is planned at once, so that the end is met."""
RECENT_UPDATES = 9
"""Their median is what an update takes: one that was held up, or is slow after a start, says nothing."""
GUESSED_VALIDATION = 0.02
"""Of the minutes, kept free for the last validation while none has shown how long it takes."""


class Clock:
    """Seconds since a training began, earlier sessions included."""

    def __init__(self, before: float = 0.0) -> None:
        self._began = perf_counter() - before

    @property
    def seconds(self) -> float:
        """Validations and checkpoints are included."""
        return perf_counter() - self._began


@runtime_checkable
class Budget(Protocol):
    """What the training loop, and what is around it, ask of a budget."""

    def is_over(self, step: int) -> bool:
        """Whether `step` is the last update."""
        ...

    def is_validated(self, step: int) -> bool:
        """Whether a validation follows `step`, as one does the last update."""
        ...

    def planned_steps(self, step: int) -> float | None:
        """Updates in all, as the schedule is to see it at `step`. None as long as that is not known."""
        ...

    def expected_steps(self, step: int) -> int | None:
        """Updates in all, as `step` ends: for a time budget a guess. None as long as there is none."""
        ...

    def share(self, step: int) -> float:
        """How much of the budget is used when `step` ends, from 0 to 1."""
        ...

    def update(self, step: int, seconds: float, duration: float) -> None:
        """Take note that `step` ended `seconds` after the training began, having taken `duration` of them."""
        ...

    def validated(self, step: int, duration: float) -> None:
        """Take note of how many seconds the validation after `step` took."""
        ...

    @property
    def update_seconds(self) -> float | None:
        """How long an update takes now, where that matters."""
        ...

    @property
    def validation_updates(self) -> float | None:
        """How many updates a validation takes as long as, where that was found out."""
        ...


@dataclass(frozen=True)
class StepBudget:
    """A number of updates."""

    steps: int
    validate_every: int | None = None

    def is_over(self, step: int) -> bool:
        """Whether `step` is the last update."""
        return step >= self.steps

    def is_validated(self, step: int) -> bool:
        """Whether a validation follows `step`."""
        every = self.validate_every or math.ceil(self.steps / VALIDATIONS)
        return self.is_over(step) or step % every == 0

    def planned_steps(self, step: int) -> int:
        """The same at any step."""
        return self.steps

    def expected_steps(self, step: int) -> int:
        """The same at any step."""
        return self.steps

    def share(self, step: int) -> float:
        """How much of the budget is used when `step` ends."""
        return min(1.0, step / self.steps)

    def update(self, step: int, seconds: float, duration: float) -> None:
        """How long updates take says nothing here."""

    def validated(self, step: int, duration: float) -> None:
        """Nor how long validations take."""

    @property
    def update_seconds(self) -> None:
        """It does not matter."""
        return None

    @property
    def validation_updates(self) -> None:
        """It is not found out."""
        return None


@dataclass(frozen=True)
class Plan:
    """What holds for the updates from `first` to `last`. At the end of the training there are none."""

    first: int
    last: int
    share: float
    """Of the time that is used, 0 to 1, when they begin. 1: the update before `first` was the last of all."""
    validate: bool
    """Whether a validation comes before them."""


BEGINNING = Plan(first=1, last=UNPLANNED_UPDATES, share=0.0, validate=False)
"""Before the first plan. It is never written."""


class TimeBudget:
    """Minutes of wall-clock time, validations and checkpoints included.

    `lines`: where plans are written, and where those of an earlier session are. `done`, `seconds`: what
    earlier sessions made and took; `update_seconds`: how long their last updates took, and
    `validation_updates`: how many of these a validation took as long as.
    `ranks`: processes that learn together; the first plans, the others are told.
    """

    def __init__(
        self,
        minutes: float,
        lines: JsonLines | None = None,
        *,
        validate_every: int | None = None,
        update_seconds: float | None = None,
        validation_updates: float | None = None,
        done: int = 0,
        seconds: float = 0.0,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self._validation_updates = validation_updates
        self._seconds = minutes * 60
        self._lines = lines
        self._validate_every = validate_every
        self._ranks = ranks
        # The first updates of a session are slow; until there are others, what was measured before holds.
        known = [] if update_seconds is None else [update_seconds] * RECENT_UPDATES
        self._durations = deque(known, maxlen=RECENT_UPDATES)
        self._used = seconds
        if lines and ranks.is_first:
            lines.keep()
        self._written = {plan.first: plan for plan in (BEGINNING, *(_written_in(lines) if lines else ()))}
        self._read_to = max(plan.last for plan in self._written.values())
        # What was written is followed, not planned again: so a resumed training makes the same updates.
        begun = [plan for plan in self._written.values() if plan.first <= done + 1]
        self._plan = max(begun, key=lambda plan: plan.first)
        self._next_validation = self._interval * (seconds // self._interval + 1)
        if not self.is_over(done) and self._plan.last <= done:  # what was written is lost
            self._go_on(done)

    @property
    def _pace(self) -> float:
        """Seconds an update; 0 before the first."""
        return median(self._durations) if self._durations else 0.0

    @property
    def _interval(self) -> float:
        """Seconds between validations, where nobody says how many updates."""
        count = int(self._seconds // SECONDS_A_VALIDATION)
        return self._seconds / max(FEWEST_VALIDATIONS, min(VALIDATIONS, count))

    def is_over(self, step: int) -> bool:
        """Whether `step` is the last update."""
        return self._plan.share >= 1 and step >= self._plan.first - 1

    def is_validated(self, step: int) -> bool:
        """Whether a validation follows `step`: every so many updates if told so, else as planned."""
        if self.is_over(step) or self._validate_every is None:
            return self._plan.first == step + 1 and self._plan.validate
        return step % self._validate_every == 0

    def planned_steps(self, step: int) -> float | None:
        """As many updates as the whole time holds at the mean speed so far.

        A schedule that sees this number at `step` is a function of the share that is used.
        """
        # The schedule takes step / (steps + 1) for the share that is used: this is solved for steps.
        return step / self._plan.share - 1 if self._plan.share else None

    def expected_steps(self, step: int) -> int | None:
        """The updates made, and as many more as there is time for at the speed of the last ones."""
        if self.is_over(step):
            return step
        if not self._pace:
            return None
        return step + max(1, round((self._seconds - self._reserve - self._used) / self._pace))

    def share(self, step: int) -> float:
        """How much of the time is used when `step` ends."""
        return 1.0 if self.is_over(step) else min(1.0, self._used / self._seconds)

    def update(self, step: int, seconds: float, duration: float) -> None:
        """Where the plan ends with `step`, make the next."""
        self._used = seconds
        self._durations.append(duration)
        if step >= self._plan.last:
            self._go_on(step)

    def validated(self, step: int, duration: float) -> None:
        """Count it in updates, as it takes longer on a busy machine just as they do.

        Where there is less than half of the time for one more of them, `step` was the last update.
        """
        if self._pace:
            self._validation_updates = duration / self._pace
        ended = self._used + duration
        regular = self._interval * (ended // self._interval + 1)
        self._next_validation = max(regular, ended + UPDATES_FOR_VALIDATION * duration)
        left = self._seconds - ended
        # As the first process sees it: clocks differ, and all must end with the same update.
        is_late = self._ranks.broadcast(float(left < (self._reserve + self._pace) / 2)) == 1
        # Only where no earlier session has written how it went on.
        if is_late and self._plan.first == step + 1 > self._read_to and not self.is_over(step):
            self._take(_end_after(step))

    @property
    def update_seconds(self) -> float | None:
        """How long an update takes now; None before the first."""
        return self._pace or None

    @property
    def validation_updates(self) -> float | None:
        """How many updates a validation takes as long as; None before the first."""
        return self._validation_updates

    @property
    def _reserve(self) -> float:
        """Seconds kept free for the last validation and checkpoint."""
        if self._validation_updates is None:
            return GUESSED_VALIDATION * self._seconds
        return self._validation_updates * self._pace

    def _go_on(self, step: int) -> None:
        """Follow what was planned for the updates after `step`, or plan."""
        plan = self._written.get(step + 1)
        if plan is None:
            self._take(self._told(self._next_plan(step)))
        else:
            self._plan = plan

    def _take(self, plan: Plan) -> None:
        """Write a plan down, and then let it hold."""
        if self._lines and self._ranks.is_first:
            self._lines.append(**asdict(plan))
        self._written[plan.first] = self._plan = plan

    def _next_plan(self, step: int) -> Plan:
        left = self._seconds - self._used - self._reserve
        # One more would end further beyond the time than this is before it.
        if left < self._pace / 2:
            return _end_after(step)
        planned = min(PLANNED_SHARE * self._seconds, PLANNED_OF_REST * left)
        updates = max(1, int(planned / self._pace)) if self._pace else 1
        if self._validate_every:
            updates = min(updates, self._validate_every - step % self._validate_every)
        # Below 1, which says that all is over. Nor does it fall when the reserve gets smaller: the rate would
        # rise again.
        share = min(self._used / (self._seconds - self._reserve), 1 - PLANNED_SHARE)
        # Shortly before the end none is worth its time: the last one is near.
        validate = self._used >= self._next_validation and left > self._interval / 2
        return Plan(step + 1, step + updates, max(share, self._plan.share), validate)

    def _told(self, plan: Plan) -> Plan:
        """The plan of the first process, in every process."""
        last, share, validate = (
            self._ranks.broadcast(float(one)) for one in (plan.last, plan.share, plan.validate)
        )
        return Plan(plan.first, int(last), share, validate == 1)


def _end_after(step: int) -> Plan:
    """A validation, and no more updates."""
    return Plan(first=step + 1, last=step, share=1.0, validate=True)


def _written_in(lines: JsonLines) -> list[Plan]:
    """Raises RunError if the file is damaged."""
    try:
        plans = [
            Plan(int(line["first"]), int(line["last"]), float(line["share"]), bool(line["validate"]))
            for line in lines.read()
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise lines.damaged(f"a line is not what a training writes: {error}") from None
    for before, plan in pairwise((BEGINNING, *plans)):
        updates = plan.last - plan.first + 1
        makes_sense = updates == 0 if plan.share == 1 else updates > 0
        # A validation that took too long made it the end, in place of what was planned there.
        follows = before.last < plan.first or (plan.share == 1 and before.first == plan.first)
        if not (makes_sense and follows and before.share <= plan.share <= 1):
            raise lines.damaged(f"the plan of the updates from {plan.first} does not fit what is before it")
    return plans
