import json
import shutil
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from atonce.disk import owned
from atonce.errors import RunError
from atonce.runs.folder import RunFolder
from atonce.serve.app import build_app
from atonce.serve.limits import Limits
from atonce.serve.registry import ModelRegistry
from atonce.serve.run_status import POINTS, RunStatuses, _means, run_status


@pytest.mark.parametrize("name", ["log.jsonl", "scores.json"])
def test_what_is_damaged_is_shown_as_damaged(dates_run: RunFolder, tmp_path: Path, name: str) -> None:
    """And the rest is shown as it is."""
    run = RunFolder.open(shutil.copytree(dates_run.path, tmp_path / "run"))
    whole = run_status("dates", run)
    assert whole.damage is None
    path = run.path / name
    path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    shown = run_status("dates", run)
    assert shown.damage is not None
    assert f"{path} is damaged" in shown.damage
    assert (shown.scores == {}) == (name == "scores.json")
    assert (shown.curves is None) == (name == "log.jsonl")


@pytest.mark.parametrize("name", ["model.safetensors", "examples/test.jsonl"])
def test_a_server_does_not_start_with_a_damaged_run(runs: dict[str, Path], tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(runs["texts"], tmp_path / "run"))
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(RunError) as error:
        ModelRegistry.open([runs["labels"], run])
    assert str(run / name) in str(error.value)


def test_a_run_is_trained_while_a_process_has_it_or_its_comparison(
    dates_run: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder.open(shutil.copytree(dates_run.path, tmp_path / "comparison" / "run"))
    assert not run_status("run", run).training
    with owned(run.path, "trains"):
        assert not run_status("run", run).training  # it has made all its steps: others look at it
    entries = run.read_log()
    with (run.path / "log.jsonl").open("w") as log:
        log.writelines(json.dumps({**entry, "planned_steps": 10_000}) + "\n" for entry in entries)
    shutil.rmtree(run.checkpoints)
    assert not run_status("run", run).training
    for folder in (run.path, run.path.parent):
        with owned(folder, "trains"):
            assert run_status("run", run).training
        assert not run_status("run", run).training


def test_what_has_not_changed_is_not_read_again(
    dates_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.open(shutil.copytree(dates_run.path, tmp_path / "run"))
    statuses = RunStatuses({"run": run})
    read = []
    monkeypatch.setattr(
        "atonce.serve.run_status.run_status", lambda *given: read.append(given) or run_status(*given)
    )
    first = statuses.all()
    assert first == [run_status("run", run)]
    assert statuses.all() == first
    assert len(read) == 1
    step = first[0].step + 1
    run.log(step=step, seconds=1e6, loss=1.0, target_tokens_per_second=1.0, padding_share=0.0)
    assert statuses.all()[0].step == step
    run.save_scores({"bleu": 12.5, "signatures": {"bleu": "one"}})
    assert statuses.all()[0].scores["bleu"].value == "12.5"
    (run.path / "log.jsonl").write_text("{")
    assert statuses.all() == [run_status("run", run)]
    with owned(run.path, "trains"):
        assert statuses.all() == [run_status("run", run)]


def test_reading_runs_has_the_time_of_a_request(
    models: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.serve.run_status.run_status", lambda *_: time.sleep(0.8))
    with TestClient(build_app(models, Limits(seconds=0.3))) as client:
        assert client.get("/v1/runs").status_code == 504


@given(st.lists(st.floats(0, 20), min_size=1, max_size=700))
def test_a_long_curve_is_thinned_to_means_that_end_where_it_does(losses: list[float]) -> None:
    line = [(10.0 * (place + 1), loss) for place, loss in enumerate(losses)]
    means = _means(line)
    assert min(len(line), POINTS // 2) <= len(means) <= POINTS
    assert means[-1][0] == line[-1][0]
    assert [step for step, _ in means] == sorted({step for step, _ in means})
    assert all(min(losses) - 1e-9 <= mean <= max(losses) + 1e-9 for _, mean in means)
    if len(line) <= POINTS:
        assert means == line


def test_every_loss_counts_once() -> None:
    line = [(float(step), float(step)) for step in range(1, 151)]
    assert _means(line)[0] == (3.0, 2.0)
    assert _means(line[:-1])[0] == (2.0, 1.5)
    assert _means(line)[-1] == (150.0, 149.0)
