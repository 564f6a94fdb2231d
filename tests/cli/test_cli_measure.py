import json
from pathlib import Path

import pytest

from atonce.studies.measurement import claims as module
from atonce.studies.measurement import clock as clocks
from atonce.studies.measurement import phases
from atonce.studies.measurement.claims import Claim
from command import Command


def test_tables_and_json(atonce: Command, tmp_path: Path) -> None:
    out = tmp_path / "growth.md"
    said = atonce("measure", "rnn", "transformer", "--lengths", "4,8", "--out", out)
    assert said.code == 0
    for text in ("One layer over n positions", "3 n", "Whole models", str(out)):
        assert text in said.out
    assert "| RNN | n |" in out.read_text(encoding="utf-8")
    said = atonce("measure", "rnn", "--lengths", "4,8", "--json")
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    found = json.loads(said.out)
    assert found["layers"][0]["span"] == {
        "values": {"4": 12, "8": 24}, "law": "linear", "formula": "3 n", "slope": pytest.approx(3),
        "error": pytest.approx(0, abs=1e-9),
    }  # fmt: skip


def test_faults(atonce: Command, tmp_path: Path) -> None:
    assert atonce("measure", "--lengths", "4,eight").fault[0] == "invalid --lengths '4,eight'"
    assert ".md" in atonce("measure", "rnn", "--out", tmp_path / "a.docx").fault[2]
    for more in (["rnn"], ["--out", tmp_path / "a.md"]):
        assert atonce("measure", "--claims", *more).fault[0].startswith("--claims takes no targets")
    assert atonce("measure", "rn").fault[2] == "did you mean 'rnn'?"


def test_pictures(atonce: Command, tmp_path: Path) -> None:
    ticks, page = tmp_path / "ticks.svg", tmp_path / "all.html"
    assert atonce("measure", "rnn", "--lengths", "4,8", "--out", ticks, "--picture", "ticks").code == 0
    assert ">30<" in ticks.read_text(encoding="utf-8")  # three layers on top of one another, eight positions
    assert atonce("measure", "rnn", "--lengths", "4,8", "--out", page).code == 0
    assert "How far influence goes" in page.read_text(encoding="utf-8")
    assert atonce("measure", "rnn", "--picture", "clock").fault[2] == "add --clock"


def test_the_clock(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "WIDTH", 16)
    for name, value in (("SECONDS", 1e-4), ("COUNTED", (4, 8))):
        monkeypatch.setattr(clocks, name, value)
    said = atonce("measure", "rnn", "--lengths", "4,8", "--clock", "--clock-lengths", "4")
    assert said.code == 0
    for text in ("Layers, training step, 32 sequences", "torch's own"):
        assert text in said.out


def test_claims(atonce: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    holds = Claim("this", "It is so.", ("span 3 n",), holds=True)
    monkeypatch.setattr(module, "CHECKS", [lambda: holds])
    said = atonce("measure", "--claims")
    assert (said.code, said.out) == (0, "holds  this\n  It is so.\n    span 3 n\n")
    monkeypatch.setattr(module, "CHECKS", [lambda: holds, lambda: Claim("that", "No.", ("4",), holds=False)])
    said = atonce("measure", "--claims", "--json")
    assert said.code == 1
    assert json.loads(said.out)["hold"] is False
    assert "DOES NOT HOLD  that" in atonce("measure", "--claims").out
