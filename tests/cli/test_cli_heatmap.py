import json
from pathlib import Path

import pytest

from atonce.decoding.translator import Translator
from atonce.runs.folder import RunFolder
from command import Command

BEGINS = {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF", ".html": b"<!doctype html>", ".json": b"{"}


@pytest.fixture
def run(dates_run: RunFolder) -> Path:
    return dates_run.path


@pytest.mark.parametrize("ending", BEGINS)
def test_every_format(atonce: Command, run: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"map{ending}"
    said = atonce("heatmap", run, "3 May 2001", "--out", out, "--target", "2001-05-03")
    assert said.code == 0
    assert said.out == f"2001-05-03\n{out}\n"
    assert out.read_bytes().lower().startswith(BEGINS[ending].lower())


def test_it_draws_what_the_model_writes_itself(atonce: Command, run: Path, tmp_path: Path) -> None:
    said = atonce("heatmap", run, "3 May 2001", "--out", tmp_path / "map.json")
    drawn = json.loads((tmp_path / "map.json").read_text())
    assert (
        drawn["output"] == Translator.open(run).translate(["3 May 2001"])[0].text == said.out.split("\n")[0]
    )
    assert drawn["source"] == "3 May 2001"


def test_layers_heads_words_and_pieces(atonce: Command, run: Path, tmp_path: Path) -> None:
    def drawn(*options: str) -> list[dict[str, list[str]]]:
        out = tmp_path / "map.json"
        said = atonce("heatmap", run, "3 May 2001", "--target", "2001-05-03", "--out", out, *options)
        assert (said.code, said.err) == (0, "")
        maps: list[dict[str, list[str]]] = json.loads(out.read_text())["maps"]
        return maps

    words, pieces = drawn()[0], drawn("--pieces")[0]
    assert words["columns"][:3] == ["3", "May", "2001"]
    assert len(pieces["rows"]) > len(words["rows"])
    assert drawn("--words")[0] == words
    assert len(drawn("--head", "all")) == 2
    assert drawn("--head", "1") != drawn("--head", "2")
    assert drawn("--layer", "1")[0]["rows"] == words["rows"]
    assert drawn("--layer", "mean")[0]["rows"] == words["rows"]


def test_an_unknown_format(atonce: Command, run: Path, tmp_path: Path) -> None:
    what, _, fix = atonce("heatmap", run, "text", "--out", tmp_path / "map.bmp").fault
    assert what == "cannot save a heat map as 'map.bmp'"
    assert ".png, .svg, .pdf, .html, .json" in fix


def test_an_empty_text(atonce: Command, run: Path, tmp_path: Path) -> None:
    assert atonce("heatmap", run, "", "--out", tmp_path / "map.svg").code == 0
