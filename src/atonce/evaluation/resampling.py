"""What would a score be on another test set? Test sets are drawn from the test set (Koehn 2004).

Statistics, scores and draws are sacreBLEU's, and so is the p-value: that of `sacrebleu --paired-bs`, as a
test checks. We draw ourselves because sacreBLEU takes its seed from the environment, gives no interval for a
difference, and keeps all statistics of all draws in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.scores import EXACT_SIGNATURE
from atonce.result import HIDDEN, Result, computed
from atonce.shapes import Float

Metric = Literal["bleu", "chrf", "ter", "exact"]
METRICS: tuple[Metric, ...] = get_args(Metric)
TITLES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "exact": "exact matches"}
LOWER_IS_BETTER = frozenset({"ter"})


@dataclass(frozen=True)
class Interval(Result):
    """Where 95 % of the resampled values lie: the middle of them, a fortieth cut off at either end."""

    low: float
    high: float


@dataclass(frozen=True)
class Resampled(Result):
    """A quantity on the test set, and on each of the test sets drawn from it."""

    value: float
    drawn: Float[np.ndarray, " samples"] = field(metadata=HIDDEN)

    def __sub__(self, other: "Resampled") -> "Resampled":
        """The difference of two quantities, draw by draw: paired where both were drawn alike."""
        return Resampled(self.value - other.value, self.drawn - other.drawn)

    @computed
    def interval(self) -> Interval:
        """The middle 95 % of what was drawn."""
        ordered = np.sort(self.drawn)
        cut = len(ordered) // 40
        return Interval(low=float(ordered[cut]), high=float(ordered[len(ordered) - cut - 1]))

    @computed
    def p_value(self) -> float:
        """How often chance alone makes a difference as large as this one.

        sacreBLEU's, with ≥ for its >: a difference of 0 is then the likeliest, and not the least likely.
        """
        sizes = np.abs(self.drawn)
        as_large = np.count_nonzero(sizes - sizes.mean() >= abs(self.value))
        return float((as_large + 1) / (len(sizes) + 1))


@dataclass(frozen=True)
class Measure:
    """A corpus score that depends on the sentences only through sums of their statistics."""

    metric: Metric
    statistics: Callable[[Sequence[str], Sequence[str]], Float[np.ndarray, "sentences statistics"]]
    """Of outputs and their references."""
    total: Callable[[Float[np.ndarray, " statistics"]], float]
    """The score, in per cent, from sums over sentences."""
    signature: Callable[[], str]
    """Known once something was measured."""


def measures(metrics: Sequence[Metric], language: ScoringLanguage) -> Iterator[Measure]:
    """How each metric is computed, in order."""
    from_sacrebleu = language.metrics(force=True)
    for metric in metrics:
        yield _exact_measure() if metric == "exact" else _sacrebleu_measure(metric, from_sacrebleu[metric])


def resampled(
    measure: Measure,
    statistics: Float[np.ndarray, "sentences statistics"],
    *,
    samples: int,
    seed: int | Sequence[int],
) -> Resampled:
    """The score, and that of each drawn test set. Equal seeds draw equal sentences, whatever the system."""
    sentences = len(statistics)
    random = np.random.default_rng(seed)
    draws = (random.choice(sentences, size=sentences, replace=True) for _ in range(samples))
    drawn = [measure.total(np.bincount(draw, minlength=sentences) @ statistics) for draw in draws]
    return Resampled(measure.total(statistics.sum(0)), np.array(drawn))


def _sacrebleu_measure(name: Metric, metric: Any) -> Measure:
    # The two methods with an underscore are what sacreBLEU's own significance module is made of.
    return Measure(
        metric=name,
        statistics=lambda outputs, references: np.array(
            metric._extract_corpus_statistics(outputs, [references]), dtype=float
        ),
        total=lambda sums: float(metric._compute_score_from_stats(sums).score),
        signature=lambda: str(metric.get_signature()),
    )


def _exact_measure() -> Measure:
    return Measure(
        metric="exact",
        statistics=lambda outputs, references: np.array(
            [[output == reference, 1] for output, reference in zip(outputs, references, strict=True)],
            dtype=float,
        ),
        total=lambda sums: float(100 * sums[0] / sums[1]),
        signature=lambda: EXACT_SIGNATURE,
    )
