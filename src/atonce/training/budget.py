"""How many updates a training makes."""

from dataclasses import dataclass

CALIBRATION_SHARE = 0.04
"""Of the minutes, before the speed of the updates is taken as known."""
UNTYPICAL_STEPS = 3
"""The first updates are slow: kernels are chosen, memory is first touched. They do not count."""
VALIDATION_SHARE = 0.06
"""Of the minutes, kept free for validation and checkpoints."""


@dataclass
class Budget:
    """A number of updates, given or found out.

    A time budget becomes a number of updates from the speed of the first ones, once and for all: so the
    learning rate stays a function of the step, and a resumed training goes the same way.
    """

    steps: int | None
    minutes: float | None = None
    _started: float = 0.0

    def observe(self, step: int, seconds: float) -> None:
        """Take note that `step` was done `seconds` after the training began."""
        if self.steps is not None or self.minutes is None:
            return
        if step <= UNTYPICAL_STEPS:
            self._started = seconds
            return
        available = self.minutes * 60 * (1 - VALIDATION_SHARE)
        if seconds >= self.minutes * 60 * CALIBRATION_SHARE:
            seconds_a_step = (seconds - self._started) / (step - UNTYPICAL_STEPS)
            self.steps = step + max(0, int((available - seconds) / seconds_a_step))
