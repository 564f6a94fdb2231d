"""How many updates a training makes."""

CALIBRATION_SHARE = 0.06
"""Of the minutes, before the speed of the updates is taken as known."""
UNTYPICAL_STEPS = 3
"""The first updates of a sitting are slow: kernels are chosen, memory is first touched. They do not count."""
VALIDATION_SHARE = 0.06
"""Of the minutes, kept free for validation and checkpoints."""


class Budget:
    """A number of updates, given or found out.

    A time budget becomes a number of updates from the speed of the first ones, once and for all: so the
    learning rate stays a function of the step, and a resumed training goes the same way.
    """

    def __init__(self, steps: int | None, minutes: float | None = None) -> None:
        """With `steps`, `minutes` say nothing any more; with neither, there is no end."""
        self.steps = steps
        self.minutes = minutes
        self._observed = 0
        self._since = (0, 0.0)  # step and seconds from which on the speed is measured

    def observe(self, step: int, seconds: float) -> None:
        """Take note that `step` was done `seconds` after the training began, earlier sittings included."""
        if self.steps is not None or self.minutes is None:
            return
        self._observed += 1
        if self._observed <= UNTYPICAL_STEPS:
            self._since = (step, seconds)
            return
        if seconds >= self.minutes * 60 * CALIBRATION_SHARE:
            first_step, first_seconds = self._since
            seconds_a_step = (seconds - first_seconds) / (step - first_step)
            available = self.minutes * 60 * (1 - VALIDATION_SHARE)
            self.steps = step + max(0, int((available - seconds) / seconds_a_step))
