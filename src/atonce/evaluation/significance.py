"""Is one system better than another, or was the test set kind to it? Paired bootstrap (Koehn 2004).

What would a score be on another test set? Test sets are drawn from the test set. Both systems are scored on
each of them, on the same sentences: hence "paired".

Statistics, scores and draws are sacreBLEU's, and so is the p-value: that of `sacrebleu --paired-bs`, as a
test checks. We draw ourselves because sacreBLEU takes its seed from the environment, gives no interval for a
difference, and keeps all statistics of all draws in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from atonce.errors import DataError
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.scores import EXACT_SIGNATURE, check_aligned
from atonce.result import HIDDEN, Result, computed
from atonce.seeds import check_seed
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
        # A fortieth at either end leaves 95 %.
        cut = len(ordered) // 40
        return Interval(low=float(ordered[cut]), high=float(ordered[len(ordered) - cut - 1]))

    @computed
    def p_value(self) -> float:
        """How often chance alone makes a difference as large as this one.

        sacreBLEU's, with ≥ for its >: a difference of 0 is then the likeliest, and not the least likely.
        """
        # Centred on their mean, sizes are as they would be without a difference. One is added to both numbers
        # so that no difference is taken for real more often than p says, as sacreBLEU has it from multeval.
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


@dataclass(frozen=True)
class MetricComparison(Result):
    """One metric, a system against a baseline. Scores and differences are in per cent."""

    metric: Metric
    system: float
    baseline: float
    system_interval: Interval
    baseline_interval: Interval
    difference: float
    """`system - baseline`. For TER, where lower is better, a gain is negative."""
    difference_interval: Interval
    p_value: float
    """How often chance alone makes a difference this large, as `sacrebleu --paired-bs` reckons it; but 1, not
    nearly 0, where the two systems never differ."""
    signature: str

    @computed
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """Whether the system beats the baseline; undecided if 0 lies in the interval of the difference."""
        gain = self.difference_interval
        if gain.low <= 0 <= gain.high:
            return "undecided"
        return "better" if (gain.low > 0) != (self.metric in LOWER_IS_BETTER) else "worse"

    def describe(self) -> str:
        """One sentence for people."""
        gain = self.difference_interval
        ending = {
            "better": "better than the baseline",
            "worse": "worse than the baseline",
            "undecided": "no difference that this test set can tell from chance",
        }[self.verdict]
        return (
            f"{TITLES[self.metric]} {self.system:.1f} against {self.baseline:.1f}: {self.difference:+.1f} "
            f"(95 % between {gain.low:+.1f} and {gain.high:+.1f}, p = {self.p_value:.3f}), {ending}."
        )


@dataclass(frozen=True)
class PairedBootstrap(Result):
    """A system against a baseline on the same references, metric by metric."""

    metrics: tuple[MetricComparison, ...]
    sentences: int
    samples: int
    """Test sets drawn."""
    seed: int

    def describe(self) -> str:
        """A line for each metric, and one that says how they were made."""
        lines = [comparison.describe() for comparison in self.metrics]
        drawn = f"{self.samples:,} test sets drawn from {self.sentences:,} sentences"
        return "\n".join([*lines, f"Paired bootstrap: {drawn}, seed {self.seed}."])

    def to_dict(self) -> dict[str, Any]:
        """One object, ready for JSON; `metrics` is keyed by metric."""
        return super().to_dict() | {"metrics": {one.metric: one.to_dict() for one in self.metrics}}


def paired_bootstrap(
    outputs: Sequence[str],
    baseline_outputs: Sequence[str],
    references: Sequence[str],
    *,
    samples: int = 1000,
    seed: int = 12345,
    metrics: Sequence[Metric] = METRICS,
    target_language: str | None = None,
) -> PairedBootstrap:
    """Compare two systems' outputs for the same sentences; the answer is a pure function of the arguments.

    The default seed is sacreBLEU's. TER takes a few milliseconds per sentence and system, nearly all of the
    time; leave it out of `metrics` where that is too long. `target_language` is that of `tasks.score`.

    Raises RecipeError for a seed that is none, and DataError if the three texts do not have equally many
    lines, or none.
    """
    check_seed(seed)
    check_aligned(outputs, references)
    check_aligned(baseline_outputs, references, ("outputs of the baseline", "references"))
    if samples < 1:
        raise DataError(
            f"cannot draw {samples} test sets",
            why="without any there is nothing to compare",
            fix="1000 is usual",
        )
    compared = tuple(
        _compare(measure, outputs, baseline_outputs, references, samples, seed)
        for measure in measures(metrics, ScoringLanguage.of(target_language, references))
    )
    return PairedBootstrap(metrics=compared, sentences=len(references), samples=samples, seed=seed)


def _compare(
    measure: Measure,
    outputs: Sequence[str],
    baseline_outputs: Sequence[str],
    references: Sequence[str],
    samples: int,
    seed: int,
) -> MetricComparison:
    system, baseline = (
        resampled(measure, measure.statistics(texts, references), samples=samples, seed=seed)
        for texts in (outputs, baseline_outputs)
    )
    difference = system - baseline
    return MetricComparison(
        metric=measure.metric,
        system=system.value,
        baseline=baseline.value,
        system_interval=system.interval,
        baseline_interval=baseline.interval,
        difference=difference.value,
        difference_interval=difference.interval,
        p_value=difference.p_value,
        signature=f"{measure.signature()}|bs:{samples}|seed:{seed}",
    )


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
    # `choice` and not `integers`: with sacreBLEU's seed, these are its draws.
    draws = (random.choice(sentences, size=sentences, replace=True) for _ in range(samples))
    # How often each sentence was drawn, times its statistics: their sums, of one draw at a time in memory.
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
