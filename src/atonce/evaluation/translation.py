"""Scores of translations: BLEU, chrF and TER as sacreBLEU computes them, and exact matches.

A score without its signature cannot be compared with anybody else's, so they travel together.
sacreBLEU is imported where it is used: the command line must answer `--help` without it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atonce.errors import DataError

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

    def as_dict(self) -> dict[str, Any]:
        """The scores as one flat object, ready for JSON."""
        return asdict(self)

    @property
    def columns(self) -> dict[str, float]:
        """Titles and numbers for a table."""
        return {"BLEU": self.bleu, "chrF": self.chrf, "TER": self.ter, "exact": self.exact}

    @property
    def scored(self) -> str:
        """How much was scored, in words, and what to know of the numbers."""
        return f"{self.sentences:,} sentences; TER: lower is better"


def score(
    outputs: Sequence[str], references: Sequence[str], *, target_language: str | None = None
) -> TranslationScores:
    """Score a system's outputs against one reference each: exactly sacreBLEU's numbers, to the last digit.

    Chinese (`target_language` "zh", "zh-Hans", …) has no spaces, so BLEU takes sacreBLEU's Chinese tokenizer
    there, as `sacrebleu -l xx-zh` does; all else takes its default, 13a. The signature says which.

    Raises DataError if there is nothing to score or if an output has no reference.
    """
    check_aligned(outputs, references)
    metrics = sacrebleu_metrics(target_language)
    totals = {name: metric.corpus_score(outputs, [references]).score for name, metric in metrics.items()}
    signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return TranslationScores(
        **totals,
        exact=exact(outputs, references),
        sentences=len(outputs),
        signatures={**signatures, "exact": EXACT_SIGNATURE},
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


def sacrebleu_metrics(target_language: str | None = None, *, force: bool = False) -> dict[str, Any]:
    """Fresh sacreBLEU metrics by the names of `TranslationScores`, with sacreBLEU's own settings.

    `force` keeps BLEU from warning about outputs that look tokenized; it changes no number.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    # Japanese and Korean have tokenizers of their own too, but those need packages with dictionaries.
    chinese = target_language is not None and target_language.replace("_", "-").split("-")[0].lower() == "zh"
    return {"bleu": BLEU(tokenize="zh" if chinese else "13a", force=force), "chrf": CHRF(), "ter": TER()}


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
