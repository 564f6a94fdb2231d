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
from atonce.runs.folder import RunFolder

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
