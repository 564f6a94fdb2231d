"""A short slice of each area's cases; run.py has them by the thousand."""

import importlib.util
from pathlib import Path

import pytest

from campaign.run import SHARES, area

WRITTEN = [name for name in SHARES if importlib.util.find_spec(f"campaign.{name}")]


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_ends_in_a_traceback_in_silence_or_not_at_all(name: str, tmp_path: Path) -> None:
    faults = [outcome for outcome in area(name).run(tmp_path, 1, range(8)) if not outcome.fine]
    assert not faults
