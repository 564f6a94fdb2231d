import json
from pathlib import Path

import numpy as np
import pytest

import tiny
from atonce.decoding.translator import Translator
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe
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
        drawn["output"] == Translator.load(run).translate(["3 May 2001"])[0].text == said.out.split("\n")[0]
    )
    assert drawn["source"] == "3 May 2001"


def test_layers_heads_words_and_tokens(atonce: Command, run: Path, tmp_path: Path) -> None:
    def drawn(*options: str) -> list[dict[str, list[str]]]:
        out = tmp_path / "map.json"
        said = atonce("heatmap", run, "3 May 2001", "--target", "2001-05-03", "--out", out, *options)
        assert (said.code, said.err) == (0, "")
        maps: list[dict[str, list[str]]] = json.loads(out.read_text())["maps"]
        return maps

    words, tokens = drawn()[0], drawn("--tokens")[0]
    assert words["columns"][:3] == ["3", "May", "2001"]
    assert len(tokens["rows"]) > len(words["rows"])
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


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of images after two steps."""
    from atonce.studies.experiment import train

    values = tiny.values(
        model={
            "dim": 8,
            "image": {"kind": "patches", "size": 2},
            "encoder": {"kind": "transformer", "layers": 1, "heads": 2, "feed_forward": 8},
            "decoder": {"kind": "classifier"},
        },
        training={"steps": 2, "validate_every": 2},
    )
    values["data"] = {"kind": "digits", "valid_size": 4, "test_size": 4}
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return train(Recipe.parse(values, origin="a test"), folder, quiet=True).run.path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "seven.png"
    pixels = np.full((8, 8), 255, np.uint8)
    pixels[1, 1:7] = pixels[1:7, 5] = 0
    image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("ending", [".svg", ".html", ".json"])
def test_a_picture_where_a_run_reads_images(
    atonce: Command, digits_run: Path, picture: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"map{ending}"
    said = atonce("heatmap", digits_run, picture, "--out", out, "--target", "7", "--head", "all")
    assert (said.code, said.out) == (0, f"7\n{out}\n")
    assert out.read_bytes().lower().startswith(BEGINS[ending].lower())


def test_the_numbers_of_every_cell(atonce: Command, digits_run: Path, picture: Path, tmp_path: Path) -> None:
    atonce("heatmap", digits_run, picture, "--out", tmp_path / "map.json")
    drawn = json.loads((tmp_path / "map.json").read_text())
    (attention,) = drawn["attention"]
    assert (attention["grid"], attention["cell"]) == ([4, 4], [2, 2])
    assert np.array(attention["weights"]).shape == (1, 4, 4)
    assert np.array(drawn["occlusion"]["falls"]).shape == (4, 4)
    assert drawn["source"] == "seven.png"


def test_faults_of_pictures(atonce: Command, digits_run: Path, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    out = ("--out", tmp_path / "map.svg")
    assert "no picture" in atonce("heatmap", digits_run, tmp_path / "a.txt", *out).fault[0]
    assert "cannot read" in atonce("heatmap", digits_run, "missing.png", *out).fault[0]
    assert "no label" in atonce("heatmap", digits_run, picture, *out, "--target", "x").fault[0]
    assert atonce("heatmap", digits_run, picture, *out, "--layer", "2").fault[2].startswith("give a number")
    assert atonce("heatmap", digits_run, picture, *out, "--head", "3").fault[0] == "there is no head '3'"
