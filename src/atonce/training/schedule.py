"""How fast to learn, as a pure function of the step."""

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "inverse_sqrt", "constant"]


def rate_factor(step: int, *, schedule: Schedule, warmup: int, steps: int | float | None) -> float:
    """The share of the peak rate to learn with at `step`, counted from 1.

    It rises in a line over `warmup` steps (a tenth of `steps` at most), then falls:
    `linear` and `cosine` to zero after `steps`, `inverse_sqrt` with the root of the step (Vaswani 2017,
    equation 3), `constant` not at all. While `steps` is not known yet, it does not fall.

    Where time is what is given, `steps` is what all of it holds at the mean speed so far (`training.budget`):
    then `step / (steps + 1)` is the share of the time that is used, whatever the speed was.
    """
    rise = warmup if steps is None else min(warmup, steps // 10)
    if step <= rise:
        return step / rise
    if schedule == "inverse_sqrt":
        return math.sqrt(max(rise, 1) / step)
    if schedule == "constant" or steps is None:
        return 1.0
    left = max(0.0, (steps + 1 - step) / (steps + 1 - rise))
    return left if schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
