import json
import shutil
from pathlib import Path

import pytest

from atonce.decoding.translator import Translator
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe, dumps
from atonce.stored import replacing_with_sum
from command import Command

TEXTS = ["3 May 2001", "", "word " * 3000 + "end", "2001年5月3日"]


@pytest.fixture(scope="module")
def run(dates_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that says of itself that it summarizes."""
    folder = Path(shutil.copytree(dates_run.path, tmp_path_factory.mktemp("summaries") / "run"))
    values = {**dates_run.recipe.model_dump(), "data": {"kind": "docstrings"}}
    with replacing_with_sum(folder / "recipe.toml") as partial:
        partial.write_text(dumps(Recipe.parse(values, origin="a test")), encoding="utf-8")
    return folder


def test_one_line_in_is_one_line_out(atonce: Command, run: Path, tmp_path: Path) -> None:
    said = atonce("summarize", run, stdin="\n".join(TEXTS).encode() + b"\n")
    assert (said.code, said.err) == (0, "")
    lines = said.out.removesuffix("\n").split("\n")
    assert lines == Translator.load(run).outputs(TEXTS)
    assert lines[1] == ""
    (tmp_path / "texts").write_text("\n".join(TEXTS), encoding="utf-8")
    assert atonce("summarize", run, tmp_path / "texts") == said, "a file gives the same as stdin"


def test_a_run_of_the_older_spelling_is_opened(atonce: Command, run: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(run, tmp_path / "older"))
    recipe = (older / "recipe.toml").read_text(encoding="utf-8")
    with replacing_with_sum(older / "recipe.toml") as partial:
        partial.write_text(recipe.replace('"summarization"', '"summarisation"'), encoding="utf-8")
    assert "summarisation" in (older / "recipe.toml").read_text(encoding="utf-8")
    assert atonce("summarize", older, stdin=b"3 May").out == atonce("summarize", run, stdin=b"3 May").out


def test_json(atonce: Command, run: Path) -> None:
    said = atonce("summarize", run, "--json", "--nbest", "2", stdin="\n".join(TEXTS).encode())
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [answer["source"] for answer in answers] == TEXTS
    for answer in answers:
        assert answer["nbest"][0] == {"text": answer["text"], "score": answer["score"]}


def test_beam_and_nbest(atonce: Command, run: Path) -> None:
    translator = Translator.load(run)
    assert atonce("summarize", run, "--beam", "3", stdin=b"3 May").out == (
        translator.outputs(["3 May"], beam=3)[0] + "\n"
    )
    rows = [
        line.split("\t", 2)
        for line in atonce("summarize", run, "--nbest", "2", stdin=b"3 May").out.splitlines()
    ]
    best = translator.translate(["3 May"], nbest=2)[0].alternatives
    assert rows == [["1", f"{one.score:.4f}", one.text] for one in best]


def test_a_run_for_something_else(atonce: Command, run: Path, dates_run: RunFolder) -> None:
    what, why, fix = atonce("summarize", dates_run.path, stdin=b"3 May").fault
    assert what == f"{dates_run.path} is not for summarization"
    assert why == "it was trained for translation"
    assert fix == f"atonce translate {dates_run.path}"
    assert atonce("translate", run, stdin=b"3 May").fault[2] == f"atonce summarize {run}"


@pytest.mark.parametrize("wrong", [["--beam", "0"], ["--nbest", "0"], ["--sample", "-1"]])
def test_options_out_of_range(atonce: Command, run: Path, wrong: list[str]) -> None:
    said = atonce("summarize", run, *wrong)
    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err
