"""A run in a process of its own leaves what was measured, and its faults come back as what they were."""

import contextlib
import errno
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from atonce import stored
from atonce.decoding.translator import Translator
from atonce.disk import owned
from atonce.errors import DataError, RunError, TrainingError
from atonce.runs.folder import RunFolder
from atonce.studies.comparison import trial as module
from atonce.studies.comparison.trial import PASSES, TRIAL, generation_speed, read_trial, run_trial


def begun(folder: Path, prepared: Path, **training: object) -> Path:
    return tiny.begun(folder, tiny.recipe(training={"steps": 2, **training}), prepared)


def test_it_trains_scores_and_measures(tmp_path: Path, prepared_dates: Path) -> None:
    run = begun(tmp_path / "run", prepared_dates)
    with owned(tmp_path, "compares"):  # as the comparison has it that started it
        run_trial(run, "a trial", quiet=True)
    trial = read_trial(run)
    assert trial.weights == sum(weight.numel() for weight in RunFolder.open(run).load_weights().values())
    assert len(trial.outputs) == json.loads((run / "scores.json").read_text())["sentences"] == 6
    assert trial.peak_memory_bytes is not None
    assert 10**7 < trial.peak_memory_bytes < 10**11
    assert trial.sentences_per_second > 0
    assert trial.sentences_per_second_alone > 0
    assert RunFolder.open(run).read_log()[-1]["step"] == 2
    # What was measured is not measured again.
    before = tiny.everything_in(run)
    run_trial(run, "a trial", quiet=True)
    assert tiny.everything_in(run) == before


def test_one_that_was_killed_when_it_was_done_keeps_one_sum(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("{}")
    stored.expect(tmp_path, {TRIAL: stored.sum_of_file(tmp_path / "new")})
    (tmp_path / "new").rename(tmp_path / TRIAL)
    assert len(json.loads((tmp_path / stored.SUMS).read_text())["files"][TRIAL]) == 2, "or it may be missing"
    run_trial(tmp_path, "a trial", quiet=True)
    assert len(json.loads((tmp_path / stored.SUMS).read_text())["files"][TRIAL]) == 1


def test_it_ends_with_the_comparison(tmp_path: Path, prepared_dates: Path) -> None:
    """The pipe has no other end any more once the process that held it is gone."""
    run = begun(tmp_path / "run", prepared_dates, steps=10**6)
    command = [
        sys.executable,
        "-m",
        "atonce.studies.comparison.trial",
        str(run),
        "a trial",
        "--quiet",
        module.TIED,
    ]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    assert ended.returncode == 1


def test_it_takes_no_module_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "argparse.py").write_text("open('marker', 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="is not a run folder"):
        run_trial(tmp_path / "none", "a trial", quiet=True)
    assert not (tmp_path / "marker").exists()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be another process runs in this one: it starts faster."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-P", "-m", "atonce.studies.comparison.trial"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = module._main(command[4:])
        return subprocess.CompletedProcess(command, code, stdout=said.getvalue())

    monkeypatch.setattr(module.subprocess, "run", run)


@pytest.mark.usefixtures("in_this_process")
def test_a_fault_comes_back_as_what_it_was(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder") as caught:
        run_trial(tmp_path / "none", "a trial", quiet=True)
    assert "atonce train" in caught.value.fix


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (PermissionError(errno.EACCES, "Permission denied", "a/file"), "cannot use a/file"),
    ],
)
def test_what_the_system_refuses_comes_back_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, what: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(module, "measure", refused)
    with pytest.raises(TrainingError) as caught:
        run_trial(tmp_path, "a trial", quiet=True)
    assert caught.value.what == what
    assert caught.value.fix.endswith("then go on with --resume")


@pytest.mark.usefixtures("in_this_process")
def test_a_fault_of_ours_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(module, "measure", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        run_trial(tmp_path, "a trial", quiet=True)


@pytest.mark.usefixtures("in_this_process")
def test_it_goes_on_where_it_broke_off(
    tmp_path: Path, prepared_dates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise DataError("what", why="why", fix="fix")

    run = begun(tmp_path / "run", prepared_dates)
    with monkeypatch.context() as patched:
        patched.setattr("atonce.studies.experiment.evaluate", broken)
        with pytest.raises(DataError, match="what"):
            run_trial(run, "a trial", quiet=True)
    assert not (run / TRIAL).exists()
    log = (run / "log.jsonl").read_bytes()
    run_trial(run, "a trial", quiet=True)
    assert (run / "log.jsonl").read_bytes() == log  # nothing was trained again


@pytest.mark.usefixtures("in_this_process")
def test_it_pauses_and_goes_on(tmp_path: Path, prepared_dates: Path) -> None:
    run = begun(tmp_path / "run", prepared_dates, steps=5, validate_every=5)
    run_trial(run, "a trial", pause_at=0.001, quiet=True)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000001"]
    before = tiny.everything_in(run)
    run_trial(run, "a trial", pause_at=0.001, quiet=True)
    assert tiny.everything_in(run) == before, "that much was trained already"
    assert not (run / TRIAL).exists()
    run_trial(run, "a trial", quiet=True)
    assert RunFolder.open(run).read_log()[-1]["step"] == 5


@pytest.mark.parametrize(("code", "how"), [(1, "ended with code 1"), (-9, "signal 9 ended its process")])
def test_a_process_that_says_nothing_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, how: str
) -> None:
    ended = subprocess.CompletedProcess([], code, stdout="")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(TrainingError, match=how) as caught:
        run_trial(tmp_path, "a trial", quiet=True)
    assert "--resume" in caught.value.fix


@pytest.mark.parametrize("text", ["", "{}", '{"outputs": []}', "[]"])
def test_a_damaged_measurement_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / TRIAL).write_text(text)
    with pytest.raises(RunError, match="cannot read"):
        read_trial(tmp_path)


def test_memory_of_an_earlier_session_counts(tmp_path: Path) -> None:
    (tmp_path / module.MEMORY).write_text(json.dumps({"peak_bytes": 10**15}))
    assert module._peak_of_all_sessions(tmp_path) == 10**15


# Speed


def test_speeds_are_sentences_by_seconds(dates_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a second after the last: each timing takes one."""
    ticks = itertools.count()
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(ticks)))
    done: list[int] = []
    monkeypatch.setattr(module, "ALONE", 4)
    texts = ["3 May 2001"] * 9
    speed = generation_speed(Translator.load(dates_run.path), texts, on_progress=done.append)
    assert speed.together == len(texts)
    assert speed.alone == 3  # every third: at most ALONE, evenly spread
    assert sum(done) == (1 + PASSES) * 9 + 3


def test_one_text_is_enough(dates_run: RunFolder) -> None:
    speed = generation_speed(Translator.load(dates_run.path), ["3 May 2001"])
    assert speed.together > 0
    assert speed.alone > 0
