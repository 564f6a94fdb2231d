"""Is one system better than another, or was the test set kind to it? Paired bootstrap (Koehn 2004).

Both systems are scored on each of the drawn test sets (`resampling.py`), on the same sentences: hence
"paired".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atonce.errors import DataError
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.resampling import (
    LOWER_IS_BETTER,
    METRICS,
    TITLES,
    Interval,
    Measure,
    Metric,
    measures,
    resampled,
)
from atonce.evaluation.scores import check_aligned
from atonce.result import Result, computed
from atonce.seeds import check_seed


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
    time; leave it out of `metrics` where that is too long. `target_language` is that of `translation.score`.

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
