"""How each task is scored; and the scores of labels and of read texts, which are short."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from atonce.data.config import Task
from atonce.evaluation.resampling import METRICS, Metric
from atonce.evaluation.scores import EXACT_SIGNATURE, Scores, blanks, chrf, exact, signed_chrf
from atonce.evaluation.summarization import score_summaries
from atonce.evaluation.translation import score

ACCURACY_SIGNATURE = "per cent of items whose likeliest label is the right one"

VALIDATED: dict[Task, tuple[str, Callable[[Sequence[str], Sequence[str]], float]]] = {
    "translation": ("chrf", chrf),
    "summarization": ("chrf", chrf),
    "classification": ("accuracy", exact),
    "reading": ("exact", exact),
}
"""What is watched during training: quick to compute, and one number."""
VALIDATED_TITLES = {"chrf": "chrF", "accuracy": "accuracy", "exact": "exact"}
"""For people."""
COMPARED: dict[Task, tuple[Metric, ...]] = {
    "translation": METRICS,
    "summarization": ("chrf", "exact"),
    "classification": ("exact",),
    "reading": ("exact", "chrf"),
}
"""What two systems are compared by."""


@dataclass(frozen=True)
class ClassificationScores(Scores):
    """How a classifier's labels compare with the right ones."""

    titles: ClassVar[Mapping[str, str]] = {"accuracy": "accuracy"}

    accuracy: float
    """Labels that are right, in per cent."""
    items: int
    """How many were classified."""


@dataclass(frozen=True)
class OcrScores(Scores):
    """How texts compare with those that stand in the images. Every score is in per cent."""

    titles: ClassVar[Mapping[str, str]] = {"exact": "exact", "chrf": "chrF"}
    unit: ClassVar[str] = "images"

    exact: float
    """Texts that are right, character for character."""
    chrf: float
    """Share of character n-grams (1 to 6) that are right, recall weighted double (Popović 2015)."""
    items: int
    """How many images were read."""


def score_task(
    task: Task, outputs: Sequence[str], references: Sequence[str], *, target_language: str | None = None
) -> Scores:
    """Score outputs as is usual for the task.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    match task:
        case "classification":
            return score_labels(outputs, references)
        case "summarization":
            return score_summaries(outputs, references, target_language=target_language)
        case "reading":
            return score_ocr(outputs, references)
        case "translation":
            return score(outputs, references, target_language=target_language)


def score_labels(outputs: Sequence[str], references: Sequence[str]) -> ClassificationScores:
    """Compare labels with the right ones. Raises DataError if there are none, or not as many of each."""
    accuracy = exact(outputs, references)
    return ClassificationScores(accuracy, len(references), signatures={"accuracy": ACCURACY_SIGNATURE})


def score_ocr(outputs: Sequence[str], references: Sequence[str]) -> OcrScores:
    """Compare texts with those that stand in the images.

    Words are not what is read, so there is no BLEU. Raises DataError if there is nothing to score or if an
    output has no reference.
    """
    chrf_score, chrf_signature = signed_chrf(outputs, references)
    return OcrScores(
        exact(outputs, references),
        chrf_score,
        len(references),
        signatures={"exact": EXACT_SIGNATURE, "chrf": chrf_signature},
        notes=tuple(blanks(outputs, references)),
    )
