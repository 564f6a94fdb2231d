"""Scores of labels: how many are right."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atonce.evaluation.translation import exact

ACCURACY_SIGNATURE = "per cent of items whose likeliest label is the right one"


@dataclass(frozen=True)
class ClassificationScores:
    """How a classifier's labels compare with the right ones."""

    accuracy: float
    """Labels that are right, in per cent."""
    items: int
    """How many were classified."""
    signatures: dict[str, str]
    """What makes the number comparable with others."""
    notes: tuple[str, ...] = ()
    """What the number does not say."""

    def as_dict(self) -> dict[str, Any]:
        """The scores as one flat object, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes)}

    @property
    def columns(self) -> dict[str, float]:
        """Titles and numbers for a table."""
        return {"accuracy": self.accuracy}

    @property
    def scored(self) -> str:
        """How much was scored, in words."""
        return f"{self.items:,} items"


def score_labels(outputs: Sequence[str], references: Sequence[str]) -> ClassificationScores:
    """Compare labels with the right ones. Raises DataError if there are none, or not as many of each."""
    return ClassificationScores(exact(outputs, references), len(references), {"accuracy": ACCURACY_SIGNATURE})
