import json
import re
from pathlib import Path

import pytest

from atonce.data.prepare import open_prepared
from atonce.runs.folder import RunFolder
from command import Command


@pytest.fixture
def run(dates_run: RunFolder) -> Path:
    return dates_run.path


def test_json(atonce: Command, run: Path) -> None:
    said = atonce("evaluate", run, "--json")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    answer = json.loads(said.out)
    scores = {"bleu", "chrf", "ter", "exact", "signatures", "sentences", "beam"}
    assert set(answer) == scores | {"language", "notes"}
    assert set(answer["signatures"]) == {"bleu", "chrf", "ter", "exact"}
    assert all("version:" in answer["signatures"][name] for name in ("bleu", "chrf", "ter"))
    assert answer == json.loads((run / "scores.json").read_text()), "as right after training"


def test_text(atonce: Command, run: Path) -> None:
    said = atonce("evaluate", run)
    assert re.search(r"^dates( +\d+\.\d){4}$", said.out, re.MULTILINE)
    assert "6 sentences; TER: lower is better" in said.out
    assert "\x1b" not in said.out


def test_a_text_of_ones_own(atonce: Command, run: Path, tmp_path: Path) -> None:
    pairs = open_prepared(run).test_pairs
    for side in ("source", "target"):
        (tmp_path / side).write_text("".join(getattr(pair, side) + "\n" for pair in pairs), encoding="utf-8")
    texts = ["--source", tmp_path / "source", "--reference", tmp_path / "target"]
    assert atonce("evaluate", run, *texts, "--json") == atonce("evaluate", run, "--json")


def test_only_one_text(atonce: Command, run: Path, tmp_path: Path) -> None:
    said = atonce("evaluate", run, "--source", tmp_path / "text")
    assert said.code == 2
    assert "--reference" in said.err


def test_against_another_run(atonce: Command, run: Path) -> None:
    compared = json.loads(atonce("evaluate", run, "--against", run, "--json").out)["against"]
    assert "bleu" in json.dumps(compared)
    said = atonce("evaluate", run, "--against", run)
    assert f"Against {run}:" in said.out
    assert "BLEU" in said.out.partition("Against")[2]


def test_against_what_is_no_run_is_found_out_at_once(
    atonce: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.decoding.translator.Translator.translate", pytest.fail)
    assert "is not a run folder" in atonce("evaluate", run, "--against", tmp_path).fault[0]


def test_beam(atonce: Command, run: Path) -> None:
    assert json.loads(atonce("evaluate", run, "--beam", "2", "--json").out)["beam"] == 2
