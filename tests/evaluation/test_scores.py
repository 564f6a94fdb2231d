import pytest

from atonce.evaluation.classification import ClassificationScores
from atonce.evaluation.reading import ReadingScores
from atonce.evaluation.scores import score_task
from atonce.evaluation.summarisation import SummaryScores
from atonce.evaluation.translation import TranslationScores


@pytest.mark.parametrize(
    ("task", "kind", "metrics"),
    [
        ("translation", TranslationScores, {"BLEU", "chrF", "TER", "exact"}),
        ("reading", ReadingScores, {"exact", "chrF"}),
        ("summarisation", SummaryScores, {"ROUGE-1", "ROUGE-2", "ROUGE-L", "chrF"}),
        ("classification", ClassificationScores, {"accuracy"}),
    ],
)
def test_each_task_is_scored_as_is_usual(task: str, kind: type, metrics: set[str]) -> None:
    scores = score_task(task, ["a small cat", "a dog"], ["a small cat", "the dog"])
    assert isinstance(scores, kind)
    assert metrics <= set(scores.columns)
    assert scores.as_dict()["signatures"] == scores.signatures
    assert "2" in scores.scored
