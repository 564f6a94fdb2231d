import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import tiny
from atonce.data.prepare import open_prepared
from atonce.decoding.translator import Translator
from atonce.errors import DataError, RecipeError, RunError, TrainingError
from atonce.evaluation.significance import paired_bootstrap
from atonce.evaluation.tasks import score
from atonce.runs.folder import RunFolder
from atonce.studies.experiment import evaluate, pairs_to_score, train


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


# Scored again


def test_the_scores_are_those_of_the_outputs(dates_run: RunFolder) -> None:
    pairs = open_prepared(dates_run.path).test_pairs
    translations = Translator.load(dates_run.path).translate([pair.source for pair in pairs])
    outputs = [translation.text for translation in translations]
    done: list[int] = []
    evaluation = evaluate(dates_run.path, on_progress=done.append)
    assert list(evaluation.outputs) == outputs
    assert evaluation.scores == score(outputs, [pair.target for pair in pairs])
    assert evaluation.against is None
    assert sum(done) == len(pairs) == 6


def test_a_text_of_ones_own(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("3 May 2001\n\n4 May 2001\n")
    (tmp_path / "r").write_text("2001-05-03\n\n2001-05-04\n")
    evaluation = evaluate(dates_run.path, source=tmp_path / "s", reference=str(tmp_path / "r"))
    assert evaluation.scores.sentences == 3
    assert evaluation.outputs[1] == ""
    assert evaluation.scores.exact == pytest.approx(100 / 3), "what is empty on both sides is exact"


def test_texts_that_are_cut_and_one_alone(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("one\ntwo\n")
    (tmp_path / "r").write_text("one\n")
    with pytest.raises(DataError, match="has 2 lines"):
        pairs_to_score(dates_run, tmp_path / "s", tmp_path / "r")
    for alone in ({"source": tmp_path / "s"}, {"reference": tmp_path / "r"}):
        with pytest.raises(RecipeError, match="only one of source and reference"):
            evaluate(dates_run.path, **alone)


def test_against_another_run(dates_run: RunFolder, tmp_path: Path) -> None:
    evaluation = evaluate(dates_run.path, against=dates_run.path)
    references = [pair.target for pair in open_prepared(dates_run.path).test_pairs]
    assert evaluation.against == paired_bootstrap(evaluation.outputs, evaluation.outputs, references)
    assert "against" in evaluation.to_dict()
    with pytest.raises(RunError, match="not a run folder"):
        evaluate(dates_run.path, against=tmp_path)


def test_everything_is_scored_in_the_language_of_the_references(dates_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("3 May 2001\n4 May 2001\n")
    (tmp_path / "r").write_text("二零零一年五月三日\n二零零一年五月四日\n", encoding="utf-8")
    evaluation = evaluate(
        dates_run.path, source=tmp_path / "s", reference=tmp_path / "r", against=dates_run.path
    )
    values = evaluation.to_dict()
    assert values["language"]["tag"] == "zh"
    assert values["language"]["origin"] == "script"
    for metric in ("bleu", "ter"):
        signature = values["signatures"][metric]
        assert ("tok:zh" if metric == "bleu" else "asian:yes") in signature
        assert values["against"]["metrics"][metric]["signature"].startswith(signature)


def test_the_beam_is_the_recipes_unless_given(dates_run: RunFolder) -> None:
    assert evaluate(dates_run.path).beam == 1
    wide = evaluate(dates_run.path, beam=3)
    assert wide.to_dict()["beam"] == wide.beam == 3
    pairs = open_prepared(dates_run.path).test_pairs
    outputs = Translator.load(dates_run.path).translate([pair.source for pair in pairs], beam=3)
    assert list(wide.outputs) == [output.text for output in outputs]


def test_a_run_without_its_data_scores_other_texts(dates_run: RunFolder, tmp_path: Path) -> None:
    """A run that was given away without its examples still works."""
    run = Path(shutil.copytree(dates_run.path, tmp_path / "run"))
    shutil.rmtree(run / "examples")
    (tmp_path / "text").write_text("3 May 2001\n")
    evaluate(run, source=tmp_path / "text", reference=tmp_path / "text")
    with pytest.raises(RunError, match=r"test\.jsonl is damaged\s+why: it is missing"):
        evaluate(run)
    (run / "sums.json").unlink()  # as runs of earlier versions
    with pytest.raises(RunError, match="not whole"):
        evaluate(run)
