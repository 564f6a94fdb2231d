"""The scores of each task, by one name."""

from collections.abc import Sequence

from atonce.data.config import Task
from atonce.evaluation.classification import ClassificationScores, score_labels
from atonce.evaluation.reading import ReadingScores, score_readings
from atonce.evaluation.summarisation import SummaryScores, score_summaries
from atonce.evaluation.translation import TranslationScores, score

Scores = TranslationScores | SummaryScores | ClassificationScores | ReadingScores


def score_task(
    task: Task, outputs: Sequence[str], references: Sequence[str], *, target_language: str | None = None
) -> Scores:
    """Score outputs as is usual for the task.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    match task:
        case "classification":
            return score_labels(outputs, references)
        case "summarisation":
            return score_summaries(outputs, references, target_language=target_language)
        case "reading":
            return score_readings(outputs, references)
        case "translation":
            return score(outputs, references, target_language=target_language)
