"""Small models have one thread; who says another number has that; a training keeps its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tiny
from atonce.models.threads import (
    computing_on,
    search_threads,
    training_threads,
    use_threads,
)
from atonce.runs.folder import RunFolder
from atonce.training.callbacks import OnStep, TrainingEvent
from atonce.training.train import train


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has two, on which nobody has said anything."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr("atonce.models.threads._told", [])
    count = [2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: count[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda one: count.__setitem__(0, one))


SMALL, LARGE = torch.nn.Linear(16, 16), torch.nn.Linear(1000, 1000)


@pytest.mark.usefixtures("two_threads")
def test_an_update_that_is_small_has_one() -> None:
    assert training_threads(SMALL, 256).count == 1
    assert "too little to share" in str(training_threads(SMALL, 256))
    assert training_threads(LARGE, 1536).count == 2
    assert training_threads(LARGE, 10).count == 1
    assert search_threads(SMALL) == 1
    assert search_threads(LARGE) is None


@pytest.mark.usefixtures("two_threads")
def test_who_says_how_many_has_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert training_threads(SMALL, 256, asked=2).count == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert str(training_threads(SMALL, 256)) == "2 threads, as OMP_NUM_THREADS says"
    with computing_on(1):
        assert torch.get_num_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    torch.set_num_threads(1)  # the user's own call: there are no more
    assert training_threads(LARGE, 1536).count == 1
    use_threads(2)
    with computing_on(1):
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_they_are_given_back_and_a_training_decides_for_all_within() -> None:
    with computing_on(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with computing_on(2, binding=True), computing_on(1):
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_training_goes_on_with_as_many_as_it_began_with(
    prepared_dates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny.recipe(training={"steps": 4, "validate_every": 2})
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    used = []

    def watch(report: TrainingEvent) -> None:
        used.append((str(report.threads), torch.get_num_threads()))

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    train(recipe, run, resume=True, pause_at=1e-9, callbacks=[OnStep(watch)])
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert training_threads(SMALL, recipe.training.batch_tokens).count == 1
    train(recipe, run, resume=True, callbacks=[OnStep(watch)])
    assert used[0] == ("2 threads, as OMP_NUM_THREADS says", 2)
    assert set(used[1:]) == {("2 threads, as the training began", 2)}
    assert {line["threads"] for line in RunFolder.open(run).read_log()} == {2}


@pytest.mark.usefixtures("two_threads")
def test_batches_that_are_accumulated_are_no_more_to_share(prepared_dates: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(training={"steps": 1, "accumulate": 100})
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    used = []
    train(recipe, run, resume=True, callbacks=[OnStep(lambda report: used.append(str(report.threads)))])
    (said,) = used
    assert said.startswith("1 thread, as a batch is about 0.0")


@pytest.mark.usefixtures("two_threads")
def test_a_training_of_an_earlier_version_goes_on_as_it_was(prepared_dates: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(training={"steps": 4, "validate_every": 2})
    run = tiny.begun(tmp_path / "run", recipe, prepared_dates)
    train(recipe, run, resume=True, pause_at=1e-9)
    (checkpoint,) = (run / "checkpoints").iterdir()
    values = json.loads((checkpoint / "progress.json").read_text())
    without = {key: value for key, value in values.items() if key not in ("threads", "sum", "sums")}
    (checkpoint / "progress.json").write_text(json.dumps(without))
    used = []
    told = OnStep(lambda one: used.append((one.threads, torch.get_num_threads())))
    train(recipe, run, resume=True, callbacks=[told])
    assert set(used) == {(None, 2)}


@pytest.mark.parametrize(
    ("environment", "count"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_wait_for_one_another_a_short_time(environment: dict[str, str], count: str) -> None:
    code = "import atonce, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    without = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=without | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == count
