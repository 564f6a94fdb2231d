"""Law 9 with real processes: `kill -9` and `--resume`, and the weights are the same, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

DIES_WRITING = """
import os, signal, sys
from atonce.cli.main import main
from atonce.runs import folder

_, name, *sys.argv = sys.argv
save_file = folder.save_file

def dying(tensors, path, about):
    save_file(tensors, path, about)
    if name in path.name:
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

folder.save_file = dying
main()
"""


def command(recipe: Path, run: Path) -> list[str]:
    return ["train", str(recipe), "--out", str(run), "--resume", "--json"]


def trained(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "atonce", *arguments], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def killed_at(step: int, run: Path, *arguments: str) -> None:
    """Kill the training, whatever it is doing, as soon as there is a checkpoint of `step` or later."""
    with subprocess.Popen(
        [sys.executable, "-m", "atonce", *arguments], env=ENVIRONMENT, stdout=subprocess.DEVNULL
    ) as process:
        while not any(int(path.name[5:]) >= step for path in run.glob("checkpoints/step-*")):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def killed_writing(name: str, *arguments: str) -> None:
    """Let the training kill itself when a file whose name holds `name` is half-written."""
    done = subprocess.run([sys.executable, "-c", DIES_WRITING, name, "atonce", *arguments], env=ENVIRONMENT)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill like that")
def test_kill_and_resume(tmp_path: Path) -> None:
    keys = {"steps": 50, "accumulate": 2, "save_every": 2, "validate_every": 20, "average": 0.9}
    recipe = tiny.write_recipe(tmp_path / "recipe.toml", model=tiny.GRU, training=keys)
    trained(*command(recipe, tmp_path / "whole"))
    whole = tiny.what_was_learned(tmp_path / "whole")

    run = tmp_path / "killed"
    killed_at(7, run, *command(recipe, run))
    killed_writing("state", *command(recipe, run))
    assert list(run.glob("checkpoints/.*partial*")), "it was killed while it wrote a checkpoint"
    killed_writing("model", *command(recipe, run))
    killed_at(31, run, *command(recipe, run))
    trained(*command(recipe, run))

    killed = tiny.what_was_learned(run)
    assert killed == whole
    steps = [entry["step"] for entry in killed["log"]]
    assert steps == [10, 20, 30, 40, 50], "each step once"
    assert not list(run.rglob("*partial*"))
