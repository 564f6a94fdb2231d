"""Scores of translations: BLEU, chrF and TER as sacreBLEU computes them, and exact matches.

sacreBLEU is imported where it is used: the command line must answer `--help` without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.scores import EXACT_SIGNATURE, Scores, blanks, check_aligned, exact


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
    if bleu.totals[-1] > 0:
        return []
    longest = sum(total > 0 for total in bleu.totals)
    if not longest:
        return ["BLEU is 0, as always where no output has a word; so is chrF without characters"]
    return [
        f"BLEU is 0, as always where no output has {len(bleu.totals)} words (the longest has {longest}): "
        "look at chrF and exact"
    ]
