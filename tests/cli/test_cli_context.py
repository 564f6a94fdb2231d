import json
from pathlib import Path

import pytest

from atonce.runs.folder import RunFolder
from command import Command

TEXT = "3 May 2001\n3 May 2002\nMay 2003\nmay I\nnothing\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_layers_and_nearest_uses_are_printed(atonce: Command, dates_run: RunFolder, corpus: Path) -> None:
    said = atonce("context", dates_run.path, "--word", "May", "--corpus", corpus, "--nearest", "1")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "“May”: 3 uses in 5 sentences"
    assert [line.split()[0] for line in lines[4:6]] == ["embedding", "layer"]
    assert lines[4].split()[1:] == ["0.0%", "0.000", "0.000"]
    assert lines.count("3 [May] 2001") == 1
    assert sum(line.startswith("  ") and "May" in line for line in lines) == 3


def test_one_json_object(atonce: Command, dates_run: RunFolder, corpus: Path) -> None:
    arguments = ("context", dates_run.path, "--word", "may", "--corpus", corpus, "--json", "--ignore-case")
    said = atonce(*arguments, "--layer", "1", "--nearest", "2")
    found = json.loads(said.out)
    assert (found["word"], found["searched"], len(found["uses"])) == ("may", 5, 4)
    assert "vectors" not in found
    assert all(list(use["nearest"]) == ["layer 1"] for use in found["uses"])
    assert all(len(use["nearest"]["layer 1"]) == 2 for use in found["uses"])
    assert len(json.loads(atonce(*arguments, "--uses", "2").out)["uses"]) == 2


@pytest.mark.parametrize("ending", [".svg", ".html", ".json"])
def test_a_figure(atonce: Command, dates_run: RunFolder, corpus: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"context{ending}"
    said = atonce("context", dates_run.path, "--word", "May", "--corpus", corpus, "--out", out)
    assert said.code == 0
    assert "[May]" in out.read_text(encoding="utf-8") or ending == ".json"


def test_faults(atonce: Command, dates_run: RunFolder, corpus: Path, tmp_path: Path) -> None:
    run = dates_run.path
    what, _, fix = atonce("context", run, "--word", "May", "--out", tmp_path / "a.bmp").fault
    assert what == "cannot save a picture of context as 'a.bmp'"
    assert ".png, .svg" in fix
    what, why, _ = atonce("context", run, "--word", "Juli", "--corpus", corpus).fault
    assert what == "'Juli' is not used in the sentences"
    assert "5 sentences searched" in why
    what, _, _ = atonce("context", run, "--word", "May", "--corpus", tmp_path / "missing").fault
    assert "missing" in what
    what, _, _ = atonce("context", run, "--word", "May", "--corpus", corpus, "--layer", "9").fault
    assert what == "there is no layer '9'"
