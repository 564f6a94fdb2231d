"""How fast to learn, as a pure function of the step."""

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "inverse_sqrt", "constant"]


def rate_factor(step: int, *, schedule: Schedule, warmup: int, steps: int | None) -> float:
    """The share of the peak rate to learn with at `step`, counted from 1.

    It rises in a line over `warmup` steps (a tenth of `steps` at most), then falls:
    `linear` and `cosine` to zero after `steps`, `inverse_sqrt` with the root of the step (Vaswani 2017,
    equation 3), `constant` not at all. While `steps` is not known yet, it does not fall.
    """
    if steps is not None:
        warmup = min(warmup, steps // 10)
    if step <= warmup:
        return step / warmup
    if schedule == "inverse_sqrt":
        return math.sqrt(max(warmup, 1) / step)
    if schedule == "constant" or steps is None:
        return 1.0
    left = max(0.0, (steps + 1 - step) / (steps + 1 - warmup))
    return left if schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
