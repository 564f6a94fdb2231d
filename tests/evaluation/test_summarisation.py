"""ROUGE is rouge-score's to the last digit."""

import csv
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from atonce.errors import DataError
from atonce.evaluation import summarisation
from atonce.evaluation.summarisation import (
    SummaryScores,
    baselines,
    best_single_line,
    score_summaries,
    sentences,
)
from atonce.evaluation.translation import chrf

TEXTS = [
    "It reads text. Then it writes summaries of all texts. Nobody asked for them!",
    "A library for LV2 plugins",
    "",
    "Fast (e.g. quick) archives are packed by this program. It is small.",
]
REFERENCES = ["writes summaries of texts", "plugin library", "reads nothing", "packs archives quickly"]
OUTPUTS = ["writing summaries of a text", "plugin library", "", "packing of archive files"]


def test_rouge_is_that_of_rouge_score() -> None:
    scores = score_summaries(OUTPUTS, REFERENCES)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    each = [scorer.score(*pair) for pair in zip(REFERENCES, OUTPUTS, strict=True)]
    for name in ("rouge1", "rouge2", "rougeL"):
        assert getattr(scores, name) == 100 * (sum(one[name].fmeasure for one in each) / 4)
    assert scores.chrf == chrf(OUTPUTS, REFERENCES)
    assert scores.exact == 25
    assert scores.sentences == 4


def test_rouge_is_that_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("\n".join(OUTPUTS) + "\n")
    (tmp_path / "references").write_text("\n".join(REFERENCES) + "\n")
    files = [
        "--prediction_filepattern=outputs",
        "--target_filepattern=references",
        "--output_filename=scores",
    ]
    options = ["--use_stemmer", "--rouge_types=rouge1,rouge2,rougeL", "--aggregate=false"]
    command = [sys.executable, "-m", "rouge_score.rouge", *files, *options]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with (tmp_path / "scores").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for name in ("rouge1", "rouge2", "rougeL"):
        theirs = 100 * sum(float(row[f"{name}-F"]) for row in rows) / 4
        # The command line prints six decimals.
        assert getattr(score_summaries(OUTPUTS, REFERENCES), name) == pytest.approx(theirs, abs=1e-4)


def test_the_references_themselves_are_perfect() -> None:
    assert set(score_summaries(REFERENCES, REFERENCES).columns.values()) == {100.0}


def test_empty_summaries_score_nothing() -> None:
    assert set(score_summaries([""] * 4, REFERENCES).columns.values()) == {0.0}


def test_as_one_json_object() -> None:
    written = json.loads(json.dumps(score_summaries(OUTPUTS, REFERENCES).as_dict()))
    metrics = ["rouge1", "rouge2", "rougeL", "chrf", "exact"]
    assert list(written) == [*metrics, "sentences", "signatures"]
    assert list(written["signatures"]) == metrics
    assert f"version:{version('rouge-score')}" in written["signatures"]["rougeL"]
    assert "stem:porter" in written["signatures"]["rougeL"]


def test_as_a_row_of_a_table() -> None:
    scores = SummaryScores(1.0, 2.0, 3.0, 4.0, 5.0, 1234, {})
    assert scores.columns == {"ROUGE-1": 1, "ROUGE-2": 2, "ROUGE-L": 3, "chrF": 4, "exact": 5}
    assert scores.scored == "1,234 summaries"


def test_unequal_lengths_and_nothing_to_score_are_told() -> None:
    with pytest.raises(DataError, match="2 outputs but 4 references"):
        score_summaries(OUTPUTS[:2], REFERENCES)
    with pytest.raises(DataError, match="nothing to score"):
        score_summaries([], [])
    with pytest.raises(DataError, match="2 texts but 4 references"):
        baselines(TEXTS[:2], REFERENCES, REFERENCES)
    with pytest.raises(DataError, match="no training summary"):
        baselines(TEXTS, REFERENCES, [])


def test_baselines() -> None:
    scores = baselines(TEXTS, REFERENCES, ["a library", "plugin library", "a plugin"])
    first = ["It reads text.", TEXTS[1], "", "Fast (e.g. quick) archives are packed by this program."]
    oracle = ["Then it writes summaries of all texts.", *first[1:]]
    assert scores == {
        "first sentence": score_summaries(first, REFERENCES),
        "best single line": score_summaries(["a library"] * 4, REFERENCES),
        "best sentence (oracle)": score_summaries(oracle, REFERENCES),
    }
    assert scores["best sentence (oracle)"].rougeL > scores["first sentence"].rougeL


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("  \t ", []),
        ("no end", ["no end"]),
        (" One.  Two?\tThree! 4. ", ["One.", "Two?", "Three!", "4."]),
        ("He said (loudly: “Stop!”) And went.", ["He said (loudly: “Stop!”)", "And went."]),
        ("Short, e.g. this, i.e. version 2.0 of it.", ["Short, e.g. this, i.e. version 2.0 of it."]),
        ("What?! Really... Yes.", ["What?!", "Really...", "Yes."]),
        ("Eins. Österreich zwei.", ["Eins.", "Österreich zwei."]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def brute_force(lines: list[str]) -> str:
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    return max(lines, key=lambda one: sum(scorer.score(other, one)["rouge1"].fmeasure for other in lines))


SUMMARIES = [
    "tools for plugins",
    "library for the plugins of the editor",
    "the the the library",
    "library of tools",
    "…",
    "editor plugin for tools",
    "tools for plugins",
]


@pytest.mark.parametrize("start", range(len(SUMMARIES)))
def test_the_best_single_line_is_that_of_an_exhaustive_search(start: int) -> None:
    assert best_single_line(SUMMARIES[start:]) == brute_force(SUMMARIES[start:])


def test_of_many_lines_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarisation, "MOST_LINES", 3)
    lines = ["a b c", "x y z", "b c d", "x y z", "c d e"]
    assert best_single_line(lines) == brute_force(lines[::2]) == "b c d"
