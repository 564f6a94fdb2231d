import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from atonce.errors import TrainingError
from atonce.runs.recipe import load
from atonce.studies import experiment
from command import Command

SCORES = {"bleu", "chrf", "ter", "exact", "signatures", "sentences", "beam", "language", "notes"}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tiny.write_recipe(tmp_path / "recipe.toml")


def test_it_trains_scores_and_says_what_to_do_next(atonce: Command, recipe: Path, tmp_path: Path) -> None:
    said = atonce("train", recipe, "--out", tmp_path / "run")
    assert said.code == 0
    assert re.search(r"^run +\d+\.\d +\d+\.\d +\d+\.\d +\d+\.\d$", said.out, re.MULTILINE)
    assert "version:" in said.out, "signatures"
    assert "200 pairs read: 186 to train on, 8 for validation, 6 for test.\n" in said.err
    assert f"atonce translate {tmp_path / 'run'}" in said.out
    assert re.search(r"^Trained: 12 updates in 0\.\d\d minutes$", said.out, re.MULTILINE)
    assert len(re.findall(r"^run · step \d+ · (50|100)% · .* chrF \d+\.\d$", said.err, re.MULTILINE)) == 2
    assert "\x1b" not in said.out + said.err


def test_json_is_one_object_and_nothing_else(atonce: Command, recipe: Path, tmp_path: Path) -> None:
    said = atonce("train", recipe, "--out", tmp_path / "run", "--json", "--set", "training.steps=2")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    answer = json.loads(said.out)
    assert answer.pop("run") == str(tmp_path / "run")
    assert answer.pop("data")["left_out"]["leaking"] == 0
    assert answer.pop("threads") == 1  # conftest.py says so
    assert set(answer) == SCORES
    assert json.loads((tmp_path / "run" / "scores.json").read_text()) == answer


def test_set_and_resume(atonce: Command, recipe: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "run", "--set", "training.steps=3", "--set", "model.dim=8")
    assert atonce("train", recipe, *options).code == 0
    stored = load(tmp_path / "run" / "recipe.toml")
    assert (stored.training.steps, stored.model.dim) == (3, 8)
    before = tiny.everything_in(tmp_path / "run")
    assert atonce("train", recipe, *options, "--resume").code == 0
    assert tiny.everything_in(tmp_path / "run") == before, "it was finished"
    what, _, fix = atonce("train", recipe, *options).fault
    assert what == f"{tmp_path / 'run'} already holds a run"
    assert "--resume" in fix
    what, why, _ = atonce("train", recipe, "--out", tmp_path / "run", "--resume").fault
    assert "the recipe is not the one" in what
    assert "model.dim (8 before, 16 now)" in why
    assert "training.steps (3 before, 12 now)" in why
    assert tiny.everything_in(tmp_path / "run") == before


def test_a_log_that_was_deleted_does_not_end_in_a_traceback(
    atonce: Command, recipe: Path, tmp_path: Path
) -> None:
    options = ("--out", tmp_path / "run", "--set", "training.steps=3", "--resume")
    assert atonce("train", recipe, *options).code == 0
    (tmp_path / "run" / "log.jsonl").unlink()
    said = atonce("train", recipe, *options, "--json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["threads"] is None
    assert atonce("train", recipe, *options).code == 0


def test_threads_are_those_of_the_scoring_too(
    atonce: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.models.threads._told", [])
    before, used = torch.get_num_threads(), []
    score = experiment.evaluate

    def counting(*arguments: Any, **options: Any) -> Any:
        used.append(torch.get_num_threads())
        return score(*arguments, **options)

    monkeypatch.setattr(experiment, "evaluate", counting)
    try:
        options = ("--out", tmp_path / "run", "--set", "training.steps=2", "--threads", "2", "--json")
        said = atonce("train", recipe, *options)
    finally:
        torch.set_num_threads(before)
    assert json.loads(said.out)["threads"] == 2
    assert used == [2]


def test_minutes_take_the_place_of_steps(
    atonce: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []

    def train(recipe: object, *_: object, **__: object) -> None:
        chosen.append(recipe)
        raise TrainingError("enough", why="a test", fix="none")

    monkeypatch.setattr("atonce.studies.experiment.train", train)
    atonce("train", recipe, "--out", tmp_path / "run", "--minutes", "1.5")
    assert (chosen[0].training.minutes, chosen[0].training.steps) == (1.5, None)


def test_ctrl_c_says_how_to_go_on(
    atonce: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("atonce.training.train.save_checkpoint", stopped)
        said = atonce("train", recipe, "--out", tmp_path / "run")
    assert said.code == 130
    assert said.err.splitlines()[-1] == "Stopped. To go on, give the same command with --resume."
    assert "Traceback" not in said.err
    assert atonce("train", recipe, "--out", tmp_path / "run", "--resume").code == 0


def test_ctrl_c_before_anything_was_learned_leaves_nothing_in_the_way(
    atonce: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atonce.training.train.prepare", stopped)
    assert atonce("train", recipe, "--out", tmp_path / "run").code == 130
    assert not (tmp_path / "run").exists()
