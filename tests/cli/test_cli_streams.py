"""Real processes with real pipes: what is closed, full, interrupted or of another encoding."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiny
from atonce.cli.output import print_scores
from atonce.evaluation.tasks import score
from atonce.runs.folder import RunFolder
from command import Command

ATONCE = [sys.executable, "-m", "atonce"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C means what it usually does: a shell lets what it runs in the background ignore it, and who is
    started there inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_help_lists_the_commands() -> None:
    done = subprocess.run([*ATONCE, "--help"], capture_output=True, text=True, check=True)
    for command in ("demo", "recipes", "train", "translate", "evaluate", "heatmap"):
        assert f" {command} " in done.stdout


def test_an_unknown_command_and_an_unknown_option() -> None:
    for arguments in (["trian"], ["recipes", "--jsom"]):
        done = subprocess.run([*ATONCE, *arguments], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert arguments[-1] in done.stderr
        assert "Traceback" not in done.stderr


def test_a_reader_that_has_had_enough(dates_run: RunFolder, tmp_path: Path) -> None:
    text = tmp_path / "text"
    blank = " " * 2000 + "\n"  # costs no search, and many of them are more than a pipe holds
    text.write_text("3 May 2001\n" + blank * 300)
    with subprocess.Popen(
        [*ATONCE, "translate", str(dates_run.path), str(text), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["source"] == "3 May 2001"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_at_the_end_of_the_pipe() -> None:
    for options in ([], ["--json"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [*ATONCE, "recipes", *options], stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert done.returncode == 2
        what, why, _ = done.stderr.splitlines()
        assert what == "error: cannot write the output"
        assert why == "  why: No space left on device"


@pytest.mark.skipif(os.name == "nt", reason="this system closes in another way")
def test_streams_that_are_closed() -> None:
    def ended(redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = f'exec "$@" {redirected}'
        return subprocess.run(
            ["sh", "-c", command, "sh", *ATONCE, *arguments], capture_output=True, text=True, env=ENVIRONMENT
        )

    said = ended(">&-", "recipes")
    assert (said.returncode, said.stderr.splitlines()[0]) == (2, "error: cannot write the output")
    said = ended("2>&- <&-", "recipes")
    assert (said.returncode, said.stderr) == (0, "")
    assert "dates" in said.stdout
    said = ended("2>&-", "recipes", "--jsom")
    assert (said.returncode, said.stdout, said.stderr) == (2, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_messages_that_cannot_be_written_end_nothing() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*ATONCE, "recipes", "--json"], stdout=subprocess.PIPE, stderr=full)
        assert (done.returncode, json.loads(done.stdout) != {}) == (0, True)
        assert subprocess.run([*ATONCE, "recipes", "--jsom"], stderr=full).returncode == 2


def test_a_pipe_that_is_full_is_waited_for() -> None:
    """Who shares it with a program that does not wait finds that it does not wait either."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen([*ATONCE, "recipes", "--json"], stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        time.sleep(0.5)
        with open(reading, "rb") as pipe:
            assert json.loads(pipe.read())
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("columns", ["0", "1", "-3", "wide", "9" * 30])
def test_help_and_figures_in_hardly_any_columns(
    atonce: Command, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "--minutes" in atonce("train", "--help").out


def test_scores_are_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    print_scores({"a system": score(["a b c d e"], ["a b c d e"])})
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["a", "system", "100.0", "100.0", "0.0"]


def test_texts_are_utf_8_whatever_the_locale(dates_run: RunFolder) -> None:
    done = subprocess.run(
        [*ATONCE, "translate", str(dates_run.path), "--json"],
        input="3 août 2001\n".encode(),
        capture_output=True,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=True,
    )
    assert json.loads(done.stdout.decode("utf-8"))["source"] == "3 août 2001"
    assert done.stderr == b""


@pytest.mark.skipif(os.name == "nt", reason="this system interrupts in another way")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_a_training(tmp_path: Path) -> None:
    keys = {"steps": 100_000, "save_every": 1, "validate_every": 100_000}
    recipe = tiny.write_recipe(tmp_path / "recipe.toml", training=keys)
    with subprocess.Popen(
        [*ATONCE, "train", str(recipe), "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as process:
        try:
            while not list((tmp_path / "run").glob("checkpoints/step-*")):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # or it would be waited for, if a check above has failed
    assert process.returncode == 130
    assert out == b""
    assert err.decode().endswith("\nStopped. To go on, give the same command with --resume.\n")
    assert not list(tmp_path.rglob("*partial*"))
