"""What scores of all tasks have in common: a number for each metric, and what makes it reproducible.

A score without its signature cannot be compared with anybody else's, so they travel together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from atonce.errors import DataError
from atonce.evaluation.language import ScoringLanguage
from atonce.result import Result

EXACT_SIGNATURE = "per cent of outputs equal to their reference, character for character"


# kw_only: subclasses put their metrics first, and these have defaults.
@dataclass(frozen=True, kw_only=True)
class Scores(Result):
    """How a system's outputs compare with one reference each. Every metric is in per cent."""

    titles: ClassVar[Mapping[str, str]] = {}
    """The metrics, which are fields of the subclass, with their titles in a table."""
    counted: ClassVar[str] = "items"
    """The field that says how many outputs were scored."""
    unit: ClassVar[str] = "items"
    """What one calls them."""

    signatures: dict[str, str]
    """What makes each number reproducible: sacreBLEU's and rouge-score's signatures, and for the others a
    definition."""
    language: ScoringLanguage | None = None
    """Which language was scored, and who says so; None where words do not matter."""
    notes: tuple[str, ...] = ()
    """What the numbers do not say: pairs that cannot count, tokenizers that are missing."""

    def to_dict(self) -> dict[str, Any]:
        """The scores as one flat object, ready for JSON, the metrics first."""
        values = super().to_dict()
        if self.language is None:
            del values["language"]
        # The keys of a dict stay where they were first put: the metrics.
        return {key: values[key] for key in (*self.titles, self.counted)} | values

    @property
    def columns(self) -> dict[str, float]:
        """Titles and numbers for a table."""
        return {title: getattr(self, metric) for metric, title in self.titles.items()}

    @property
    def scored(self) -> str:
        """How much was scored, in words, and what to know of the numbers."""
        counted = f"{getattr(self, self.counted):,} {self.unit}"
        order = ["TER: lower is better"] if "ter" in self.titles else []
        return "; ".join([counted, *order, *([self.language.said] if self.language else [])])


def exact(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Per cent of outputs equal to their reference, character for character.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    check_aligned(outputs, references)
    return 100 * sum(map(str.__eq__, outputs, references)) / len(references)


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """The chrF of a corpus in per cent: quick enough to watch during training, and fair to short texts.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    return signed_chrf(outputs, references)[0]


def signed_chrf(outputs: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """`chrf`, and sacreBLEU's signature of it."""
    from sacrebleu.metrics import CHRF

    check_aligned(outputs, references)
    metric = CHRF()
    # In this order: sacreBLEU knows its signature once it has seen how many references there are.
    return float(metric.corpus_score(outputs, [references]).score), str(metric.get_signature())


def blanks(outputs: Sequence[str], references: Sequence[str]) -> list[str]:
    """What is blank, in words: such pairs say little of a system, and no score shows that they are there."""
    empty = [
        (not output.strip(), not reference.strip())
        for output, reference in zip(outputs, references, strict=True)
    ]
    # Apart: blank on both sides is right, on one it is a miss, or a fault of the data.
    both, output, reference = (empty.count(kind) for kind in ((True, True), (True, False), (False, True)))
    of = f"of {len(references):,} pairs"
    said = {
        f"{both:,} {of} are blank on both sides: right, but they add nothing to scores that count words or "
        "characters": both,
        f"{output:,} {of} have a blank output": output,
        f"{reference:,} {of} have a blank reference, which no output matches": reference,
    }
    return [note for note, count in said.items() if count]


def check_aligned(
    outputs: Sequence[str], references: Sequence[str], names: tuple[str, str] = ("outputs", "references")
) -> None:
    """Raise DataError unless there is something to score and every output has its reference."""
    if len(outputs) != len(references):
        raise DataError(
            f"{len(outputs):,} {names[0]} but {len(references):,} {names[1]}",
            why="line by line, one is compared with the other",
            fix="give two texts with equally many lines, in the same order",
        )
    if not references:
        raise DataError(
            "there is nothing to score",
            why=f"the {names[0]} and the {names[1]} are empty",
            fix="give at least one line of each",
        )
