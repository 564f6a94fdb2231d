import json
from pathlib import Path

import tiny
from command import Command


def test_json(atonce: Command, tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path / "recipe.toml")
    out = tmp_path / "demo"
    said = atonce("demo", "--recipe", recipe, "--minutes", "0.01", "--out", out, "--json")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    answer = json.loads(said.out)
    assert answer["report"] == str(out / "report.html")
    assert list(answer["models"]) == ["Bidirectional GRU with additive attention", "Transformer"]
    for name, scores in zip(("additive-bigru", "transformer"), answer["models"].values(), strict=True):
        assert scores == json.loads((out / name / "scores.json").read_text())


def test_an_unknown_recipe(atonce: Command, tmp_path: Path) -> None:
    fix = atonce("demo", "--recipe", "date", "--out", tmp_path / "demo").fault[2]
    assert fix == "did you mean 'dates'?"
    assert not (tmp_path / "demo").exists()
