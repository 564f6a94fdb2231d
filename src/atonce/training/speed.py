"""How fast a training goes, lately."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from atonce.training.loop import Update

MEMORY = 0.97
"""Share that a running mean keeps at each step: it looks back over some tens of them."""


class Speed:
    """Running means of the target pieces learned from in a second, and of the padding."""

    def __init__(self) -> None:
        self.tokens = self.seconds = self.padding_share = 0.0
        self._last = time.perf_counter()

    def count(self, update: Update) -> None:
        """Take in one more step."""
        now = time.perf_counter()
        keep = MEMORY if self.seconds else 0.0
        self.tokens = keep * self.tokens + (1 - keep) * update.target_tokens
        self.seconds = keep * self.seconds + (1 - keep) * (now - self._last)
        self.padding_share = keep * self.padding_share + (1 - keep) * update.padding_share
        self._last = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block, the clock stands."""
        began = time.perf_counter()
        yield
        self._last += time.perf_counter() - began

    @property
    def tokens_per_second(self) -> float:
        """0 before the first step."""
        return self.tokens / self.seconds if self.seconds else 0.0
