import json
from pathlib import Path

import pytest

import tiny
from atonce.studies.comparison import compare as module
from atonce.studies.comparison.trial import GenerationSpeed, measure
from command import Command


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trials in this process: starting another takes longer than they do."""

    def speed(*_: object, **__: object) -> GenerationSpeed:
        return GenerationSpeed(100.0, 10.0)

    def run_trial(run: Path, name: str, *, pause_at: float | None, quiet: bool) -> None:
        if not (run / "trial.json").exists():
            measure(run, name, pause_at=pause_at, quiet=quiet)

    monkeypatch.setattr(module, "run_trial", run_trial)
    monkeypatch.setattr("atonce.studies.comparison.results.SAMPLES", 40)
    monkeypatch.setattr("atonce.studies.comparison.trial.generation_speed", speed)
    return tiny.write_recipe(tmp_path / "recipe.toml", training={"steps": 2, "validate_every": 1})


def test_json_and_the_table(atonce: Command, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = "compare", recipe, "--models", "transformer, seq2seq-gru", "--weights", "60000", "--out", out
    said = atonce(*arguments, "--json")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    assert json.loads(said.out) == json.loads((out / "report.json").read_text(encoding="utf-8"))
    table = atonce(*arguments, "--resume")
    assert table.code == 0
    for text in ("transformer", "seq2seq-gru", "95 %", str(out / "report.html")):
        assert text in table.out


def test_set_changes_the_recipe(atonce: Command, recipe: Path, tmp_path: Path) -> None:
    fix = atonce("compare", recipe, "--out", tmp_path / "out", "--set", "training.sedd=2").fault[2]
    assert fix == "did you mean 'seed'?"
    assert not (tmp_path / "out").exists()


def test_an_unknown_model(atonce: Command, recipe: Path, tmp_path: Path) -> None:
    what, _, fix = atonce("compare", recipe, "--models", "transfomer", "--out", tmp_path / "out").fault
    assert what == "no architecture is called 'transfomer'"
    assert fix == "did you mean 'transformer'?"
    assert not (tmp_path / "out").exists()
