"""Scores of texts that were read from images: how many are right, and how much of the others is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atonce.evaluation.translation import EXACT_SIGNATURE, blanks, check_aligned, exact


@dataclass(frozen=True)
class ReadingScores:
    """How texts compare with those that stand in the images. Every score is in per cent."""

    exact: float
    """Texts that are right, character for character."""
    chrf: float
    """Share of character n-grams (1 to 6) that are right, recall weighted double (Popović 2015)."""
    items: int
    """How many images were read."""
    signatures: dict[str, str]
    """What makes each number reproducible."""
    notes: tuple[str, ...] = ()
    """What the numbers do not say."""

    def as_dict(self) -> dict[str, Any]:
        """The scores as one flat object, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes)}

    @property
    def columns(self) -> dict[str, float]:
        """Titles and numbers for a table."""
        return {"exact": self.exact, "chrF": self.chrf}

    @property
    def scored(self) -> str:
        """How much was scored, in words."""
        return f"{self.items:,} images"


def score_readings(outputs: Sequence[str], references: Sequence[str]) -> ReadingScores:
    """Compare texts with those that stand in the images.

    Words are not what is read, so there is no BLEU. Raises DataError if there is nothing to score or if an
    output has no reference.
    """
    from sacrebleu.metrics import CHRF

    check_aligned(outputs, references)
    chrf = CHRF()
    return ReadingScores(
        exact(outputs, references),
        float(chrf.corpus_score(outputs, [references]).score),
        len(references),
        {"exact": EXACT_SIGNATURE, "chrf": str(chrf.get_signature())},
        tuple(blanks(outputs, references)),
    )
