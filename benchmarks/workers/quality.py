"""What the workers of time_to_quality.py share: when to translate, and a clock that stands still meanwhile.

Needs the standard library alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence


class Examination:
    """Asks for translations at given times of training, and ends the process after the last."""

    def __init__(self, minutes: Sequence[float]) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever a peer prints does not get between the lines
        self._waiting = sorted(minutes)
        self._began = time.perf_counter()

    def begin(self) -> None:
        """From now on, time counts."""
        self._began = time.perf_counter()

    def look(self, translate: Callable[[], list[str]]) -> None:
        """To be called at each step of the training."""
        trained = time.perf_counter() - self._began
        if trained >= 60 * self._waiting[0]:
            self._ask(trained, translate)

    def end(self, translate: Callable[[], list[str]]) -> None:
        """To be called after a training that ended a little before the last of the times."""
        self._ask(max(time.perf_counter() - self._began, 60 * self._waiting[-1]), translate)

    def _ask(self, trained: float, translate: Callable[[], list[str]]) -> None:
        print(json.dumps({"minutes": trained / 60, "outputs": translate()}), file=self._out, flush=True)
        print(f"{trained / 60:.1f} minutes", file=sys.stderr)
        while self._waiting and trained >= 60 * self._waiting[0]:
            del self._waiting[0]
        if not self._waiting:
            os._exit(0)
        self._began = time.perf_counter() - trained
