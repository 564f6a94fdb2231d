import json
from typing import get_args

import pytest
import sacrebleu

from atonce.data.config import Task
from atonce.errors import DataError
from atonce.evaluation.summarization import SummaryScores
from atonce.evaluation.tasks import (
    COMPARED,
    VALIDATED,
    VALIDATED_TITLES,
    ClassificationScores,
    OcrScores,
    score_labels,
    score_ocr,
    score_task,
)
from atonce.evaluation.translation import TranslationScores

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
