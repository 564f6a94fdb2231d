"""The page at the end of `atonce compare`: who translates best, how surely, how fast, and how it was done.

Plain results in, one HTML file out; the same results are `report.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atonce.evaluation.resampling import TITLES, Metric
from atonce.result import Result
from atonce.studies.comparison.charts import (
    Gained,
    Whisker,
    gains,
    named_lines,
    one_of_many,
    scatter,
    whiskers,
)
from atonce.studies.page import Chart, Spec, language_name, render
from atonce.studies.report import CurvePoint

METRICS: tuple[Metric, ...] = ("bleu", "chrf")
"""What translations are compared by. The first decides the order."""
SURE = 0.05
"""Differences with a smaller p-value are told as findings."""


@dataclass(frozen=True)
class Estimate:
    """A score in per cent, and where 95 % of the resampled ones lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """A difference of scores, paired."""

    p_value: float
    """How often chance alone makes a difference as large."""

    @property
    def is_sure(self) -> bool:
        """Whether chance is an unlikely reason, by interval and p-value."""
        return self.p_value < SURE and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Gain:
    """What a model gains over the baseline, in points."""

    overall: Difference
    short: Difference | None = None
    """On sentences that are not long; None where the test text has too few of either kind."""
    long: Difference | None = None
    more_on_long: Difference | None = None
    """`long - short`: above 0, the gain grows with the length."""


@dataclass(frozen=True)
class LengthPart:
    """The sentences of the test text whose source has so many words."""

    words: str
    """For example "6–8"."""
    sentences: int
    long: bool


@dataclass(frozen=True)
class Speeds:
    """What a model takes; means over the seeds."""

    train_seconds: float
    steps: int
    """Updates of the weights."""
    train_tokens_per_second: float
    """Target tokens; the median over the training, validations not counted."""
    sentences_per_second: float
    """Translated greedily, in batches."""
    sentences_per_second_alone: float
    """Translated greedily, one by one."""
    peak_memory_bytes: int | None
    """The most that the training took: of the GPU where it ran on one, else of its process."""


@dataclass(frozen=True)
class ComparedModel:
    """One architecture: its size, its scores, and what it takes."""

    name: str
    title: str
    label: str
    weights: int
    dim: int
    scores: dict[Metric, Estimate]
    scores_by_seed: dict[Metric, tuple[float, ...]]
    by_length: tuple[dict[Metric, Estimate], ...]
    """For each of `ComparisonReport.lengths`."""
    gains: dict[Metric, Gain]
    """Over the baseline; empty for itself."""
    speeds: Speeds
    seconds_to_chrf: dict[str, float]
    """By level of validation chrF, for the levels that every seed reached."""
    curves: tuple[tuple[CurvePoint, ...], ...]
    """For each seed, the points that were validated."""
    runs: tuple[str, ...]
    """Names of the run folders."""


@dataclass(frozen=True)
class ComparisonReport(Result):
    """All that is known of a comparison."""

    corpus: str
    source_language: str | None
    target_language: str | None
    pairs: int
    """Trained on."""
    test_pairs: int
    minutes: float | None
    """The budget of each training: this or `steps`."""
    steps: int | None
    batch_tokens: int
    vocabulary: int
    beam: int
    wanted_weights: int | None
    """None where each model had the width of its name."""
    seeds: tuple[int, ...]
    baseline: str
    samples: int
    """Test sets drawn."""
    bootstrap_seed: int
    signatures: dict[Metric, str]
    lengths: tuple[LengthPart, ...]
    machine: str
    versions: dict[str, str]
    command: str
    date: str
    models: tuple[ComparedModel, ...]
    slices: int = 1
    """The parts of each training, between which the others had their turn."""
    unequal: str | None = None
    """What to say in place of claims where the models did not have equal budgets."""


def render_comparison(report: ComparisonReport) -> str:
    """The page as text."""
    charts: list[Spec] = []
    ranked = rank(report.models)
    (baseline,) = (model for model in report.models if model.name == report.baseline)
    return render(
        "comparison/report.html.jinja",
        charts,
        report=report,
        ranked=ranked,
        baseline=baseline,
        number_of={model.name: number for number, model in enumerate(report.models)},
        titles=TITLES,
        metrics=METRICS,
        source_name=language_name(report.source_language),
        target_name=language_name(report.target_language),
        title=f"{_count(len(report.models), 'architecture').capitalize()} on equal terms",
        lead=_lead(report),
        findings=_findings(report, ranked, baseline),
        quality=_quality(report, ranked, charts),
        learning=_learning(report, charts),
        lengths=_lengths(report, ranked, charts),
        gains=_gains(report, ranked, baseline, charts),
        speed=_speed(report, charts),
        levels=sorted({int(level) for model in report.models for level in model.seconds_to_chrf}),
    )


def rank(models: Sequence[ComparedModel]) -> list[ComparedModel]:
    """The best first, by the first metric."""
    return sorted(models, key=lambda model: model.scores[METRICS[0]].value, reverse=True)


# Words


def _lead(report: ComparisonReport) -> str:
    """What was compared, and what was kept equal."""
    source, target = language_name(report.source_language), language_name(report.target_language)
    task = f" to translate {source} into {target}" if source and target else ""
    if report.minutes is not None:
        budget = f"{report.minutes:g} {'minute' if report.minutes == 1 else 'minutes'}"
    else:
        budget = f"{report.steps:,} updates"
    size = "" if report.wanted_weights is None else f", with {_millions(report.wanted_weights)} weights each"
    seeds = "" if len(report.seeds) == 1 else f" from each of {len(report.seeds)} seeds"
    return (
        f"{_count(len(report.models)).capitalize()} learned{task} from the same {report.pairs:,} pairs of "
        f"texts, in {budget} each{seeds}{size}."
    )


def _findings(
    report: ComparisonReport, ranked: Sequence[ComparedModel], baseline: ComparedModel
) -> list[str]:
    """What the numbers say, only as surely as they say it; nothing after unequal budgets."""
    if report.unequal is not None:
        return [report.unequal]
    best = ranked[0]
    said = [
        f"The best translations are those of the {best.title}: BLEU {_with_interval(best.scores['bleu'])} "
        f"on {report.test_pairs:,} sentences that were kept out of training."
    ]
    if len(ranked) == 1:
        return said
    said += [*_against_baseline(report, ranked, baseline), *_on_long(ranked, baseline)]
    fastest = max(report.models, key=lambda model: model.speeds.train_tokens_per_second)
    quickest = max(report.models, key=lambda model: model.speeds.sentences_per_second)
    both = "also " if fastest is quickest else ""
    said.append(
        f"The {fastest.title} trains fastest, with {fastest.speeds.train_tokens_per_second:,.0f} target "
        f"tokens a second; the {quickest.title} {both}translates fastest, with "
        f"{quickest.speeds.sentences_per_second:,.0f} sentences a second."
    )
    return said


def _against_baseline(
    report: ComparisonReport, ranked: Sequence[ComparedModel], baseline: ComparedModel
) -> list[str]:
    better = [model for model in ranked if model.gains and _sure_gain(model.gains["bleu"].overall) > 0]
    worse = [model for model in ranked if model.gains and _sure_gain(model.gains["bleu"].overall) < 0]
    others = len(report.models) - 1
    if not better and not worse:
        return [f"None differs from the {baseline.title} by more than chance could do."]
    said = []
    if better:
        gains = [model.gains["bleu"].overall.value for model in better]
        who = "All others" if len(better) == others else f"{_count(len(better)).capitalize()}"
        by = f"{min(gains):.1f} to {max(gains):.1f}" if len(better) > 1 else f"{gains[0]:.1f}"
        if len(better) == others == 1:
            who = f"The {better[0].title}"
        said.append(f"{who} surely {_beat(better)} the {baseline.title}, by {by} points of BLEU.")
    if worse:
        names = ", ".join(model.label for model in worse)
        said.append(f"Surely worse than the {baseline.title}: {names}.")
    return said


def _on_long(ranked: Sequence[ComparedModel], baseline: ComparedModel) -> list[str]:
    """Whether the gains grow with the length of sentences."""
    measured = [
        (model, growth)
        for model in ranked
        if model.gains and (growth := model.gains["bleu"].more_on_long) is not None
    ]
    if not measured:
        return []
    sure = [(model, growth) for model, growth in measured if _sure_gain(growth) > 0]
    if not sure:
        return [f"That a gain over the {baseline.title} grows on long sentences cannot be told from chance."]
    model, growth = max(sure, key=lambda one: one[1].value)
    which = "all of them" if len(sure) == len(measured) else f"{len(sure)} of {len(measured)}"
    if len(measured) == 1:
        which = "it"
    return [
        f"On sentences of 12 words and more, the gain over the {baseline.title} is larger than on shorter "
        f"ones for {which}; most for the {model.title}, by {_with_interval(growth)} points more."
    ]


def _sure_gain(difference: Difference) -> float:
    """The difference where it is sure, else 0."""
    return difference.value if difference.is_sure else 0.0


def _beat(models: Sequence[ComparedModel]) -> str:
    return "beats" if len(models) == 1 else "beat"


def _count(number: int, what: str = "model") -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return f"{words[number] if number < len(words) else number} {what}{'' if number == 1 else 's'}"


def _millions(weights: int) -> str:
    return f"{weights / 1e6:.1f} million" if weights >= 100_000 else f"{weights:,}"


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} (95 % between {estimate.low:.1f} and {estimate.high:.1f})"


# Charts


def _chart(title: str, description: str, spec: Spec, charts: list[Spec], *, note: str = "") -> Chart:
    charts.append(spec)
    return Chart(title, description, number=len(charts) - 1, note=note)


def _quality(report: ComparisonReport, ranked: Sequence[ComparedModel], charts: list[Spec]) -> list[Chart]:
    made = []
    for metric in METRICS:
        rows = [
            Whisker(
                model.label,
                model.scores[metric].value,
                model.scores[metric].low,
                model.scores[metric].high,
                model.scores_by_seed[metric] if len(report.seeds) > 1 else (),
            )
            for model in ranked
        ]
        spec = whiskers(rows, _labels(report), x_title=TITLES[metric])
        ways = "; ".join(f"{row.label} {row.value:.1f} ({row.low:.1f} to {row.high:.1f})" for row in rows)
        made.append(_chart(TITLES[metric], f"{TITLES[metric]} with 95 % intervals: {ways}.", spec, charts))
    return made


def _learning(report: ComparisonReport, charts: list[Spec]) -> list[Chart]:
    """Validation chrF by time and by step; those that were never measured are left out."""
    made = []
    for axis, title, x_title in (
        ("minutes", "What a minute buys", "minutes of training"),
        ("step", "What an update teaches", "updates of the weights"),
    ):
        lines = {
            model.label: line
            for model in report.models
            if (line := mean_curve(model.curves, minutes=axis == "minutes"))
        }
        if lines:
            spec = named_lines(lines, _labels(report), x_title=x_title, y_title="validation chrF")
            ends = "; ".join(f"{label} ends at {line[-1][1]:.1f}" for label, line in lines.items())
            made.append(_chart(title, f"Line chart. Validation chrF, {title.lower()}: {ends}.", spec, charts))
    return made


def mean_curve(curves: Sequence[Sequence[CurvePoint]], *, minutes: bool) -> list[tuple[float, float]]:
    """Validation chrF over the seeds: mean time or step, and mean score, of each validation in turn."""
    shared = zip(*([point for point in curve if point.chrf is not None] for curve in curves), strict=False)
    return [
        (
            sum(point.seconds / 60 if minutes else point.step for point in points) / len(points),
            sum(point.chrf or 0.0 for point in points) / len(points),
        )
        for points in shared
    ]


def _lengths(report: ComparisonReport, ranked: Sequence[ComparedModel], charts: list[Spec]) -> list[Chart]:
    """One small chart for each model, the others grey behind it."""
    if len(report.lengths) < 2:
        return []
    words = [part.words for part in report.lengths]
    bands = {
        model.label: [
            Whisker(length, part["bleu"].value, part["bleu"].low, part["bleu"].high)
            for length, part in zip(words, model.by_length, strict=True)
        ]
        for model in report.models
    }
    made = []
    for model in ranked:
        spec = one_of_many(bands, model.label, _labels(report), x_title="words in the source")
        ways = ", ".join(f"{row.value:.1f} at {row.label} words" for row in bands[model.label])
        made.append(_chart(model.label, f"BLEU of {model.title} by length: {ways}.", spec, charts))
    return made


def _gains(
    report: ComparisonReport,
    ranked: Sequence[ComparedModel],
    baseline: ComparedModel,
    charts: list[Spec],
) -> Chart | None:
    """What each gains over the baseline on long sentences, and on the others."""
    rows = [
        Gained(model.label, long=part is gain.long, value=part.value, low=part.low, high=part.high)
        for model in ranked
        if model.gains
        for gain in [model.gains["bleu"]]
        for part in (gain.short, gain.long)
        if part is not None
    ]
    if not rows:
        return None
    spec = gains(rows, _labels(report), x_title=f"points of BLEU above {baseline.label}")
    ways = "; ".join(
        f"{row.label} {row.value:+.1f} on {'long' if row.long else 'shorter'} sentences" for row in rows
    )
    return _chart(f"Gain over {baseline.title}", f"BLEU above {baseline.title}: {ways}.", spec, charts)


def _speed(report: ComparisonReport, charts: list[Spec]) -> Chart:
    points = {
        model.label: (model.speeds.train_tokens_per_second, model.speeds.sentences_per_second)
        for model in report.models
    }
    spec = scatter(
        points,
        _labels(report),
        x_title="training: target tokens a second",
        y_title="sentences a second",
    )
    ways = "; ".join(f"{label} {x:,.0f} and {y:,.0f}" for label, (x, y) in points.items())
    description = f"Target tokens a second in training, and sentences a second in translating: {ways}."
    return _chart("Speed in training and in translating", description, spec, charts)


def _labels(report: ComparisonReport) -> list[str]:
    """All that the page speaks of, in the order that gives each its colour and shape."""
    return [model.label for model in report.models]
