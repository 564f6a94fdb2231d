"""How much memory something takes at its most, as the system counts it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.models.device import give_memory_back


def peak_growth(work: Callable[[], object]) -> int:
    """Bytes by which this process was larger at its largest, while `work` ran. Skips where none are told."""
    give_memory_back()  # or it would be taken again, and seen by nobody
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
        before = _kept("VmRSS")
        work()
        return _kept("VmHWM") - before
    except OSError:
        pytest.skip("the system does not tell what a process took at its most")


def _kept(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError(name)
    return 1024 * int(found[1])
