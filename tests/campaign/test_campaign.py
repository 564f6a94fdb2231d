"""A short slice of each area's cases, which run.py has by the thousand; and that the campaigns see faults."""

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from atonce.runs.folder import RunFolder
from campaign import run
from campaign.kills import fingerprint, unsettled
from campaign.outcome import Outcome
from campaign.run import SHARES, area, run_area


@pytest.mark.parametrize("name", SHARES)
def test_nothing_ends_in_a_traceback_in_silence_or_not_at_all(name: str, tmp_path: Path) -> None:
    faults = [outcome for outcome in area(name).run(tmp_path, 1, range(8)) if not outcome.fine]
    assert not faults


class Killed:
    """An area of which one case ends the process that runs it."""

    def run(self, folder: Path, seed: int, numbers: Sequence[int]) -> Iterator[Outcome]:
        for number in numbers:
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield Outcome(number, "", "ok", fine=True)


def test_a_process_that_is_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "area", lambda name: Killed())
    found = {outcome.number for outcome in run_area("any", range(8), seed=1, processes=2)}
    assert found == {0, 1, 2, 4, 6}, "and its cases are missing"


def test_what_a_kill_may_leave_is_another_end(dates_run: RunFolder, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dates_run.path, tmp_path / "run"))
    whole = fingerprint(folder)
    assert not unsettled(tmp_path)
    sums = json.loads((folder / "sums.json").read_text())
    sums["files"]["scores.json"].insert(0, {"bytes": 1, "sha256": "0" * 64})
    (folder / "sums.json").write_text(json.dumps(sums))
    assert "scores.json" in unsettled(tmp_path)[0]
    assert fingerprint(folder) != whole
    (folder / "sums.json").unlink()
    (folder / "scores.json").write_text("{}")
    assert fingerprint(folder)["scores.json"] != whole["scores.json"]
