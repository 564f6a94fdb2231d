"""Scores of translations: BLEU, chrF and TER as sacreBLEU computes them, and exact matches.

A score without its signature cannot be compared with anybody else's, so they travel together.
sacreBLEU is imported where it is used: the command line must answer `--help` without it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from atonce.errors import DataError
from atonce.evaluation.language import ScoringLanguage, said_of

EXACT_SIGNATURE = "per cent of outputs equal to their reference, character for character"


@dataclass(frozen=True)
class TranslationScores:
    """How a system's outputs compare with one reference each. Every score is in per cent."""

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
    signatures: dict[str, str]
    """What makes each number reproducible: sacreBLEU's signatures, and for exact a definition."""
    language: dict[str, Any] = field(default_factory=dict)
    """`ScoringLanguage.as_dict`: which language was scored, and who says so."""
    notes: tuple[str, ...] = ()
    """What the numbers do not say: pairs that cannot count, tokenizers that are missing."""

    def as_dict(self) -> dict[str, Any]:
        """The scores as one flat object, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes)}

    @property
    def columns(self) -> dict[str, float]:
        """Titles and numbers for a table."""
        return {"BLEU": self.bleu, "chrF": self.chrf, "TER": self.ter, "exact": self.exact}

    @property
    def scored(self) -> str:
        """How much was scored, in words, and what to know of the numbers."""
        return "; ".join([f"{self.sentences:,} sentences", "TER: lower is better", *said_of(self.language)])


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
        language=language.as_dict(),
        notes=(*language.notes(), *blanks(outputs, references), *_too_short(found["bleu"])),
    )


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """The chrF of a corpus in per cent: quick enough to watch during training, and fair to short texts.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    from sacrebleu.metrics import CHRF

    check_aligned(outputs, references)
    return float(CHRF().corpus_score(outputs, [references]).score)


def exact(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Per cent of outputs equal to their reference, character for character.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    check_aligned(outputs, references)
    return 100 * sum(map(str.__eq__, outputs, references)) / len(references)


def blanks(outputs: Sequence[str], references: Sequence[str]) -> list[str]:
    """What is blank, in words: such pairs say little of a system, and no score shows that they are there."""
    empty = [
        (not output.strip(), not reference.strip())
        for output, reference in zip(outputs, references, strict=True)
    ]
    both, output, reference = (empty.count(kind) for kind in ((True, True), (True, False), (False, True)))
    of = f"of {len(references):,} pairs"
    said = {
        f"{both:,} {of} are blank on both sides: right, but they add nothing to scores that count words or "
        "characters": both,
        f"{output:,} {of} have a blank output": output,
        f"{reference:,} {of} have a blank reference, which no output matches": reference,
    }
    return [note for note, count in said.items() if count]


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
