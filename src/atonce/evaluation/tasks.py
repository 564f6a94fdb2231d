"""How each task is scored: translations, labels and read texts here, summaries in `summarization`.

BLEU, chrF and TER are as sacreBLEU computes them. It is imported where it is used: the command line must
answer `--help` without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from atonce.data.config import Task
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.scores import (
    EXACT_SIGNATURE,
    Scores,
    blanks,
    check_aligned,
    chrf,
    exact,
    signed_chrf,
)
from atonce.evaluation.significance import METRICS, Metric
from atonce.evaluation.summarization import score_summaries

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
class TranslationScores(Scores):
    """How translations compare with one reference each. Every score is in per cent."""

    titles: ClassVar[Mapping[str, str]] = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "exact": "exact"}
    counted: ClassVar[str] = "sentences"
    unit: ClassVar[str] = "sentences"

    bleu: float
    """Share of word n-grams (1 to 4) that the reference has too; higher is better (Papineni 2002)."""
    chrf: float
    """The same with character n-grams (1 to 6), recall weighted double; higher is better (Popović 2015)."""
    ter: float
    """Edits that would make the output the reference, per reference word; lower is better (Snover 2006)."""
    exact: float
    """Outputs equal to their reference, character for character; higher is better."""
    sentences: int
    """How many outputs were scored."""


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
    # A match, so that mypy finds a task that has no scores yet.
    match task:
        case "classification":
            return score_labels(outputs, references)
        case "summarization":
            return score_summaries(outputs, references, target_language=target_language)
        case "reading":
            return score_ocr(outputs, references)
        case "translation":
            return score(outputs, references, target_language=target_language)


def score(
    outputs: Sequence[str], references: Sequence[str], *, target_language: str | None = None
) -> TranslationScores:
    """Score a system's outputs against one reference each: exactly sacreBLEU's numbers, to the last digit.

    `target_language` ("de", "zh-Hant", …), or the script of the references without it, decides about the
    tokenizers of BLEU and TER: see `ScoringLanguage`. The signatures say which.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    check_aligned(outputs, references)
    language = ScoringLanguage.of(target_language, references)
    metrics = language.metrics()
    found = {name: metric.corpus_score(outputs, [references]) for name, metric in metrics.items()}
    # After the scores: before them sacreBLEU does not know how many references there are.
    signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return TranslationScores(
        **{name: one.score for name, one in found.items()},
        exact=exact(outputs, references),
        sentences=len(outputs),
        signatures={**signatures, "exact": EXACT_SIGNATURE},
        language=language,
        notes=(*language.notes(), *blanks(outputs, references), *_too_short(found["bleu"])),
    )


def _too_short(bleu: Any) -> list[str]:
    """Why BLEU is 0, where that says nothing of the outputs. `bleu`: sacreBLEU's score."""
    # BLEU is a geometric mean over n-grams of 1 to 4 words: without any of 4 it is 0, whatever the others.
    if bleu.totals[-1] > 0:
        return []
    longest = sum(total > 0 for total in bleu.totals)
    if not longest:
        return ["BLEU is 0, as always where no output has a word; so is chrF without characters"]
    return [
        f"BLEU is 0, as always where no output has {len(bleu.totals)} words (the longest has {longest}): "
        "look at chrF and exact"
    ]


def score_labels(outputs: Sequence[str], references: Sequence[str]) -> ClassificationScores:
    """Compare labels with the right ones. Raises DataError if there are none, or not as many of each."""
    accuracy = exact(outputs, references)
    # Labels are not words: there is no language to them.
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
