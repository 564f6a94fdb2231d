"""What the workers of time_to_quality.py share: when to translate, and a clock that stands still meanwhile.

Needs the standard library alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence


class Examination:
    """Asks for translations at given times of training; prints them with the minutes and steps until then."""

    def __init__(self, minutes: Sequence[float]) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever a peer prints does not get between the lines
        self._waiting = sorted(minutes)
        self._began = 0.0
        self._steps = 0

    @property
    def over(self) -> bool:
        """Whether there is no time left to translate at."""
        return not self._waiting

    @property
    def seconds(self) -> float:
        """Of training, until now."""
        return time.perf_counter() - self._began

    def begin(self) -> None:
        """From now on, time counts."""
        self._began = time.perf_counter()

    def look(self, translate: Callable[[], list[str]]) -> None:
        """To be called after each step: translates if it is time to."""
        self._steps += 1
        trained = self.seconds
        if self._waiting and trained >= 60 * self._waiting[0]:
            self._ask(trained, translate)

    def end(self, translate: Callable[[], list[str]]) -> None:
        """To be called where a training has its own end."""
        self._ask(self.seconds, translate)

    def _ask(self, trained: float, translate: Callable[[], list[str]]) -> None:
        found = {"minutes": trained / 60, "steps": self._steps, "outputs": translate()}
        print(json.dumps(found), file=self._out, flush=True)
        print(f"{trained / 60:.1f} minutes", file=sys.stderr)
        self._waiting = [one for one in self._waiting if 60 * one > trained]
        self._began = time.perf_counter() - trained
