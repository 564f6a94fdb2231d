"""Run folders of every format that has been released open, and their models answer as they did."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import atonce
from atonce.decoding.classifier import Classifier
from atonce.decoding.translator import Translator
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import FORMAT

FORMATS = Path(__file__).parent / "formats"
RUNS = sorted(path.parent for path in FORMATS.glob("*/*/recipe.toml"))
ASKED = ["two plus two", "nine plus six", "one  plus zero", ""]


def test_each_format_has_runs() -> None:
    kinds = {(int(run.parent.name), run.name) for run in RUNS}
    assert kinds >= {(f, name) for f in range(1, FORMAT + 1) for name in ("gru", "transformer", "classifier")}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.parent.name}-{run.name}")
def test_models_answer_as_they_did(run: Path) -> None:
    expected = json.loads((run / "expected.json").read_text())
    model = atonce.load(run, device="cpu")
    if isinstance(model, Classifier):
        assert [one.label for one in model.classify(ASKED[:3])] == expected["labels"]
        return
    assert isinstance(model, Translator)
    for beam, outputs in expected.items():
        found = model.translate(ASKED, beam=int(beam))
        assert [one.text for one in found] == [one["text"] for one in outputs]
        assert [one.score for one in found] == pytest.approx([one["score"] for one in outputs], abs=1e-3)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.parent.name}-{run.name}")
def test_they_are_scored_and_resumed(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    before = json.loads((copy / "scores.json").read_text())
    found = atonce.evaluate(copy).scores
    for name in ("chrf", "exact", "accuracy"):
        assert getattr(found, name, None) == before.get(name)
    weights = load_file(copy / "model.safetensors")
    recipe = RunFolder.open(copy).recipe
    atonce.train(recipe, copy, resume=True, quiet=True)
    assert all(torch.equal(weights[k], one) for k, one in load_file(copy / "model.safetensors").items())
    shutil.rmtree(copy / "checkpoints" / f"step-{recipe.training.steps:08}")
    atonce.train(recipe, copy, resume=True, quiet=True)
    for name, weight in load_file(copy / "model.safetensors").items():  # other machines round otherwise
        torch.testing.assert_close(weight, weights[name], rtol=0.01, atol=0.01)
