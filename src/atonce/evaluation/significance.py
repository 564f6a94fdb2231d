"""Is one system better than another, or was the test set kind to it? Paired bootstrap (Koehn 2004).

Test sets are drawn from the test set, with replacement. Both systems are scored on each of them, on the same
sentences: hence "paired". Statistics, scores and draws are sacreBLEU's, and so is the p-value: that of
`sacrebleu --paired-bs`, as a test checks. We draw ourselves because sacreBLEU takes its seed from the
environment, gives no interval for the difference, and keeps all statistics of all draws in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from atonce.errors import DataError
from atonce.evaluation.translation import EXACT_SIGNATURE, check_aligned, sacrebleu_metrics
from atonce.shapes import Float

Metric = Literal["bleu", "chrf", "ter", "exact"]
METRICS: tuple[Metric, ...] = get_args(Metric)
TITLES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "exact": "exact matches"}
LOWER_IS_BETTER = frozenset({"ter"})


@dataclass(frozen=True)
class Interval:
    """Where 95 % of the resampled values lie: the middle of them, a fortieth cut off at either end."""

    low: float
    high: float


@dataclass(frozen=True)
class MetricComparison:
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

    @property
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
class PairedBootstrap:
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

    def as_dict(self) -> dict[str, Any]:
        """One object, ready for JSON; `metrics` is keyed by metric."""
        metrics = {
            comparison.metric: {**asdict(comparison), "verdict": comparison.verdict}
            for comparison in self.metrics
        }
        return {"metrics": metrics, "sentences": self.sentences, "samples": self.samples, "seed": self.seed}


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
    time; leave it out of `metrics` where that is too long. `target_language` is that of `translation.score`.

    Raises DataError if the three texts do not have equally many lines, or none.
    """
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
        for measure in _measures(metrics, target_language)
    )
    return PairedBootstrap(metrics=compared, sentences=len(references), samples=samples, seed=seed)


@dataclass(frozen=True)
class _Measure:
    """A corpus score that depends on the sentences only through sums of their statistics."""

    metric: Metric
    statistics: Callable[[Sequence[str], Sequence[str]], Float[np.ndarray, "sentences statistics"]]
    total: Callable[[Float[np.ndarray, " statistics"]], float]
    signature: Callable[[], str]


def _measures(metrics: Sequence[Metric], target_language: str | None) -> Iterator[_Measure]:
    from_sacrebleu = sacrebleu_metrics(target_language, force=True)
    for metric in metrics:
        yield _exact_measure() if metric == "exact" else _sacrebleu_measure(metric, from_sacrebleu[metric])


def _sacrebleu_measure(name: Metric, metric: Any) -> _Measure:
    # The two methods with an underscore are what sacreBLEU's own significance module is made of.
    return _Measure(
        metric=name,
        statistics=lambda outputs, references: np.array(
            metric._extract_corpus_statistics(outputs, [references]), dtype=float
        ),
        total=lambda sums: float(metric._compute_score_from_stats(sums).score),
        signature=lambda: str(metric.get_signature()),
    )


def _exact_measure() -> _Measure:
    return _Measure(
        metric="exact",
        statistics=lambda outputs, references: np.array(
            [[output == reference, 1] for output, reference in zip(outputs, references, strict=True)],
            dtype=float,
        ),
        total=lambda sums: float(100 * sums[0] / sums[1]),
        signature=lambda: EXACT_SIGNATURE,
    )


def _compare(
    measure: _Measure,
    outputs: Sequence[str],
    baseline_outputs: Sequence[str],
    references: Sequence[str],
    samples: int,
    seed: int,
) -> MetricComparison:
    statistics = measure.statistics(outputs, references)
    baseline_statistics = measure.statistics(baseline_outputs, references)
    system, baseline = measure.total(statistics.sum(0)), measure.total(baseline_statistics.sum(0))
    drawn = _resampled(measure, statistics, samples, seed)
    baseline_drawn = _resampled(measure, baseline_statistics, samples, seed)
    return MetricComparison(
        metric=measure.metric,
        system=system,
        baseline=baseline,
        system_interval=_interval(drawn),
        baseline_interval=_interval(baseline_drawn),
        difference=system - baseline,
        difference_interval=_interval(drawn - baseline_drawn),
        p_value=_p_value(drawn - baseline_drawn, system - baseline),
        signature=f"{measure.signature()}|bs:{samples}|seed:{seed}",
    )


def _resampled(
    measure: _Measure, statistics: Float[np.ndarray, "sentences statistics"], samples: int, seed: int
) -> Float[np.ndarray, " samples"]:
    """The score of each drawn test set. Equal seeds draw equal sentences, whatever the system."""
    sentences = len(statistics)
    random = np.random.default_rng(seed)
    draws = (random.choice(sentences, size=sentences, replace=True) for _ in range(samples))
    return np.array([measure.total(np.bincount(draw, minlength=sentences) @ statistics) for draw in draws])


def _interval(values: Float[np.ndarray, " samples"]) -> Interval:
    ordered = np.sort(values)
    cut = len(ordered) // 40
    return Interval(low=float(ordered[cut]), high=float(ordered[len(ordered) - cut - 1]))


def _p_value(differences: Float[np.ndarray, " samples"], observed: float) -> float:
    """sacreBLEU's, with ≥ for its >: a difference of 0 is then the likeliest, and not the least likely."""
    sizes = np.abs(differences)
    as_large = np.count_nonzero(sizes - sizes.mean() >= abs(observed))
    return (as_large + 1) / (len(sizes) + 1)
