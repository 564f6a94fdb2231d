import json
import os
from pathlib import Path
from typing import Any

import pytest

import tiny
from atonce.errors import RecipeError, RunError, TrainingError
from atonce.runs.folder import RunFolder
from atonce.studies.evaluate import evaluate
from atonce.studies.experiment import train


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The recipes that would be trained. No training takes place."""
    recipes: list[Any] = []

    def pretended(recipe: object, *_: object, **__: object) -> None:
        recipes.append(recipe)
        raise TrainingError("enough", why="a test", fix="none")

    monkeypatch.setattr("atonce.training.train.train", pretended)
    return recipes


def test_it_keeps_the_scores_of_the_test_split(dates_run: RunFolder) -> None:
    evaluation = evaluate(dates_run.path)
    assert json.loads((dates_run.path / "scores.json").read_text()) == evaluation.to_dict()
    assert evaluation.scores.sentences == 6


def test_train_gives_the_run_and_its_scores(tmp_path: Path) -> None:
    experiment = train(tiny.recipe(training={"steps": 2}), tmp_path / "run", quiet=True)
    assert experiment.run.path == tmp_path / "run"
    assert experiment.evaluation.to_dict() == json.loads((tmp_path / "run" / "scores.json").read_text())


def test_the_folder_has_its_owner_until_the_scores_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.disk.PATIENCE", 0.1)
    recipe = tiny.recipe(training={"steps": 2})
    save, refused = RunFolder.save_scores, []

    def intruding(run: RunFolder, scores: dict[str, Any]) -> None:
        with pytest.raises(RunError) as caught:
            train(recipe, run.path, resume=True, quiet=True)
        refused.append(caught.value.what)
        save(run, scores)

    monkeypatch.setattr(RunFolder, "save_scores", intruding)
    run = train(recipe, tmp_path / "run", quiet=True).run
    assert refused == [f"{run.path} is in use: process {os.getpid()} trains here"]
    assert not (run.path / ".lock").exists()


def test_recipes_by_name_by_path_and_as_they_are(tmp_path: Path, chosen: list[Any]) -> None:
    path = tiny.write_recipe(tmp_path / "recipe.toml")
    for recipe in ("dates", path, str(path), tiny.recipe()):
        with pytest.raises(TrainingError):
            train(recipe, tmp_path / "run")
    assert chosen[0].data.kind == "dates"
    assert chosen[1] == chosen[2] == chosen[3] == tiny.recipe()


def test_a_budget_takes_the_place_of_the_recipes(tmp_path: Path, chosen: list[Any]) -> None:
    path = tiny.write_recipe(tmp_path / "recipe.toml")
    for recipe in ("dates", path, tiny.recipe()):
        for budget in ({"minutes": 2.5}, {"steps": 7}):
            with pytest.raises(TrainingError):
                train(recipe, tmp_path / "run", **budget)
            training = chosen.pop().training
            assert (training.minutes, training.steps) == (budget.get("minutes"), budget.get("steps"))


def test_two_budgets_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        train("dates", tmp_path / "run", minutes=1.0, steps=5)
    assert caught.value.fix == "keep one of training.steps and training.minutes"
    assert not list(tmp_path.iterdir())
