"""ROUGE is rouge-score's to the last digit."""

import csv
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from atonce.errors import DataError
from atonce.evaluation import summarization
from atonce.evaluation.scores import chrf
from atonce.evaluation.summarization import (
    SummaryScores,
    baselines,
    best_single_line,
    score_summaries,
    sentences,
)

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
    written = json.loads(json.dumps(score_summaries(OUTPUTS, REFERENCES).to_dict()))
    metrics = ["rouge1", "rouge2", "rougeL", "chrf", "exact"]
    assert list(written) == [*metrics, "sentences", "signatures", "language", "notes"]
    assert list(written["signatures"]) == metrics
    assert f"version:{version('rouge-score')}" in written["signatures"]["rougeL"]
    assert "stem:porter" in written["signatures"]["rougeL"]


def test_as_a_row_of_a_table() -> None:
    scores = SummaryScores(1.0, 2.0, 3.0, 4.0, 5.0, 1234, signatures={})
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


SCRIPTS = {
    "ru": ["Столица России — Москва", "Библиотека для чтения"],
    "de": ["Größere Häuser für alle", "Überprüfung der Änderungen"],
    "el": ["Η Αθήνα είναι μεγάλη", "Ένα βιβλίο"],
    "ar": ["عاصمة مصر هي القاهرة", "كتاب"],
    "hi": ["हिन्दी में लिखा है", "किताब"],
    "zh": ["中国的首都是北京", "这是一本书"],
    "ja": ["日本の首都は東京です", "コーヒーを飲む"],
    "th": ["กรุงเทพเป็นเมืองหลวง", "หนังสือ"],
    "ko": ["한국의 수도는 서울이다", "책을 읽는다"],
}


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("language", SCRIPTS)
def test_rouge_knows_every_script(language: str, given: bool) -> None:
    texts = SCRIPTS[language]
    same = score_summaries(texts, texts, target_language=language if given else None)
    assert (same.rouge1, same.rouge2, same.rougeL) == (100, 100, 100) or language in ("ar", "hi")
    assert same.rouge1 == same.rougeL == 100
    crossed = score_summaries(texts[::-1], texts, target_language=language if given else None)
    assert crossed.rouge1 < 50
    unit = "characters" if language in ("zh", "ja", "th") else "words"
    assert f"tok:{unit}|stem:no" in same.signatures["rouge1"]


def test_letters_with_umlauts_are_letters() -> None:
    assert score_summaries(["Ähre"], ["Öhre"], target_language="de").rouge1 == 0
    assert score_summaries(["Ähre"], ["Öhre"]).rouge1 == 0
    assert score_summaries(["cafe\u0301 für"], ["caf\u00e9 für"]).rouge1 == 100


WESTERN = st.text(alphabet="abeinrsty AZ09.,'-_", max_size=30)


@given(WESTERN, WESTERN)
def test_of_texts_in_a_to_z_it_is_rouge_scores_default(output: str, reference: str) -> None:
    english, unknown = (score_summaries([output], [reference], target_language=tag) for tag in ("en", None))
    found = RougeScorer(["rouge1", "rougeL"], use_stemmer=True).score(reference, output)
    for scores in (english, unknown):
        assert scores.rouge1 == 100 * found["rouge1"].fmeasure
        assert scores.rougeL == 100 * found["rougeL"].fmeasure


def test_english_that_is_given_is_rouge_scores_default_whatever_it_holds() -> None:
    outputs, references = ["Naïve cafés — “quoted” words"], ["A naïve café “quotes” words"]
    scores = score_summaries(outputs, references, target_language="en-GB")
    found = RougeScorer(["rouge1"], use_stemmer=True).score(references[0], outputs[0])
    assert scores.rouge1 == 100 * found["rouge1"].fmeasure
    assert "tok:default|stem:porter" in scores.signatures["rouge1"]


def test_references_without_words_are_noted() -> None:
    scores = score_summaries(["😀", "a word"], ["😀", "a word"])
    assert scores.rouge1 == 50
    assert "1 of 2 references have no word in them" in scores.notes[0]


def test_baselines_take_the_same_words() -> None:
    scores = baselines(
        ["Столица — Москва. Затем."], ["Столица Москва"], ["Москва", "Затем"], target_language="ru"
    )
    assert scores["first sentence"].rouge1 == 100
    assert scores["best single line"].rouge1 > 0


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
        ("Eins usw. ähnlich. Zwei.", ["Eins usw. ähnlich.", "Zwei."]),
        ("В 2020 г. всё было. Затем нет.", ["В 2020 г. всё было.", "Затем нет."]),
        ("今天很好。“明天呢？”好！", ["今天很好。", "“明天呢？”", "好！"]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("ما هذا؟ لا شيء.", ["ما هذا؟", "لا شيء."]),
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
    monkeypatch.setattr(summarization, "MOST_LINES", 3)
    lines = ["a b c", "x y z", "b c d", "x y z", "c d e"]
    assert best_single_line(lines) == brute_force(lines[::2]) == "b c d"
