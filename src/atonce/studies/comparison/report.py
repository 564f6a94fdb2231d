"""The page at the end of `atonce compare`: who translates best, how surely, how fast, and how it was done.

Plain results in, one HTML file out; the same results are `report.json`.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from atonce.evaluation.significance import TITLES
from atonce.studies.charts import Gained, Whisker, gains, learning_curves, one_of_many, scatter, whiskers
from atonce.studies.comparison.results import (
    LENGTHS,
    METRICS,
    ComparedModel,
    ComparisonReport,
    CurvePoint,
    Difference,
    Estimate,
    StudiedModel,
    Study,
)
from atonce.studies.html import Chart, Charts, language_name, render


def render_comparison(report: ComparisonReport) -> str:
    """The page as text."""
    charts = Charts()
    ranked = report.ranked()
    (baseline,) = (model for model in report.models if model.name == report.baseline)
    quality = _quality(report, ranked, charts)
    learning = learning_charts(report.models, ("chrf",), charts)
    lengths = _lengths(report, ranked, charts)
    sections = {
        "quality": "Quality",
        "learning": "Learning" if learning else "",
        "length": "Length" if lengths else "",
        "speed": "Speed",
        "numbers": "All numbers",
        "made": "How it was made",
    }
    return render(
        "comparison.html.jinja",
        title=f"{counted(len(report.models), 'architecture').capitalize()} on equal terms",
        kicker="atonce compare",
        date=report.date,
        sections={id: label for id, label in sections.items() if label},
        charts=charts,
        report=report,
        ranked=ranked,
        baseline=baseline,
        # In the order in which models were named, which gives each its colour in the charts (`labels_of`).
        number_of={model.name: number for number, model in enumerate(report.models)},
        long_from=LENGTHS[-1].start,
        titles=TITLES,
        metrics=METRICS,
        source_name=language_name(report.source_language),
        target_name=language_name(report.target_language),
        lead=_lead(report),
        findings=_findings(report, ranked, baseline),
        quality=quality,
        learning=learning,
        lengths=lengths,
        gains=_gains(report, ranked, baseline, charts),
        speed=_speed(report, charts),
        levels=sorted({int(level) for model in report.models for level in model.seconds_to_chrf}),
    )


# What the page of any study says


def counted(number: int, what: str = "model") -> str:
    """Such as "two models"."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return f"{words[number] if number < len(words) else number} {what}{'' if number == 1 else 's'}"


def task_of(study: Study) -> str:
    """Such as " to translate English into German"; nothing where a language has no name."""
    source, target = language_name(study.source_language), language_name(study.target_language)
    return f" to translate {source} into {target}" if source and target else ""


def in_minutes(minutes: float) -> str:
    """Such as "3 minutes"."""
    return f"{minutes:g} {'minute' if minutes == 1 else 'minutes'}"


def learning_charts(
    models: Sequence[StudiedModel], quantities: Sequence[Literal["valid_loss", "chrf"]], charts: Charts
) -> list[Chart]:
    """How validation loss and chrF came about by time and by step; what was never measured is left out.

    By both, as a slow model may learn more from each update.
    """
    made = []
    for quantity in quantities:
        what, better = {
            "valid_loss": ("Validation loss", "lower is better"),
            "chrf": ("Validation chrF", "higher is better"),
        }[quantity]
        for axis, x_title in (("time", "minutes of training"), ("step", "updates of the weights")):
            curves = {model.label: mean_curve(model.curves, quantity, axis) for model in models}
            lines = {label: line for label, line in curves.items() if line}
            if not lines:
                continue
            title = f"{what} by {axis}"
            ways = "; ".join(
                f"{label} from {line[0][1]:.2f} to {line[-1][1]:.2f}" for label, line in lines.items()
            )
            spec = learning_curves(lines, labels_of(models), x_title=x_title, y_title=what)
            made.append(charts.add(f"{title} ({better})", f"Line chart. {title}: {ways}.", spec))
    return made


def mean_curve(curves: Sequence[Sequence[CurvePoint]], quantity: str, axis: str) -> list[tuple[float, float]]:
    """A quantity over the seeds: mean time or step, and mean value, of each validation in turn.

    Of validations that all seeds had: beyond, the mean would jump when one of them is at its end.
    """
    measured = [[point for point in curve if getattr(point, quantity) is not None] for curve in curves]
    mean = []
    for points in zip(*measured, strict=False):
        value = fmean(getattr(point, quantity) for point in points)
        # Where the loss of one ran away the mean of all is no number. Left out here and not in the curve of
        # that seed, or its later validations would be set beside earlier ones of the others.
        if math.isfinite(value):
            place = fmean(point.seconds / 60 if axis == "time" else point.step for point in points)
            mean.append((place, value))
    return mean


def labels_of(models: Sequence[StudiedModel]) -> list[str]:
    """All that the page speaks of, in the order that gives each its colour and shape."""
    return [model.label for model in models]


# Words


def _lead(report: ComparisonReport) -> str:
    """What was compared, and what was kept equal."""
    budget = f"{report.steps:,} updates" if report.minutes is None else in_minutes(report.minutes)
    size = "" if report.wanted_weights is None else f", with {_millions(report.wanted_weights)} weights each"
    seeds = "" if len(report.seeds) == 1 else f" from each of {len(report.seeds)} seeds"
    return (
        f"{counted(len(report.models)).capitalize()} learned{task_of(report)} from the same "
        f"{report.pairs:,} pairs of texts, in {budget} each{seeds}{size}."
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
    # Speeds are told without intervals: they differ by factors, scores by points.
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
    # No sure difference is no proof of equality: it is told as what chance could do.
    if not better and not worse:
        return [f"None differs from the {baseline.title} by more than chance could do."]
    said = []
    if better:
        gains = [model.gains["bleu"].overall.value for model in better]
        who = "All others" if len(better) == others else f"{counted(len(better)).capitalize()}"
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
        f"On sentences of {LENGTHS[-1].start} words and more, the gain over the {baseline.title} is larger "
        f"than on shorter ones for {which}; most for the {model.title}, by {_with_interval(growth)} points "
        "more.",
    ]


def _sure_gain(difference: Difference) -> float:
    """The difference where it is sure, else 0."""
    return difference.value if difference.is_sure else 0.0


def _beat(models: Sequence[ComparedModel]) -> str:
    return "beats" if len(models) == 1 else "beat"


def _millions(weights: int) -> str:
    return f"{weights / 1e6:.1f} million" if weights >= 100_000 else f"{weights:,}"


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} (95 % between {estimate.low:.1f} and {estimate.high:.1f})"


# Charts


def _quality(report: ComparisonReport, ranked: Sequence[ComparedModel], charts: Charts) -> list[Chart]:
    made = []
    for metric in METRICS:
        rows = [
            Whisker(
                model.label,
                model.scores[metric].value,
                model.scores[metric].low,
                model.scores[metric].high,
                # Of one seed, the tick would lie under the dot.
                model.scores_by_seed[metric] if len(report.seeds) > 1 else (),
            )
            for model in ranked
        ]
        spec = whiskers(rows, labels_of(report.models), x_title=TITLES[metric])
        ways = "; ".join(f"{row.label} {row.value:.1f} ({row.low:.1f} to {row.high:.1f})" for row in rows)
        made.append(charts.add(TITLES[metric], f"{TITLES[metric]} with 95 % intervals: {ways}.", spec))
    return made


def _lengths(report: ComparisonReport, ranked: Sequence[ComparedModel], charts: Charts) -> list[Chart]:
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
        # Small multiples: several lines with their bands in one chart would hide one another.
        spec = one_of_many(bands, model.label, labels_of(report.models), x_title="words in the source")
        ways = ", ".join(f"{row.value:.1f} at {row.label} words" for row in bands[model.label])
        made.append(charts.add(model.label, f"BLEU of {model.title} by length: {ways}.", spec))
    return made


def _gains(
    report: ComparisonReport,
    ranked: Sequence[ComparedModel],
    baseline: ComparedModel,
    charts: Charts,
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
    spec = gains(rows, labels_of(report.models), x_title=f"points of BLEU above {baseline.label}")
    ways = "; ".join(
        f"{row.label} {row.value:+.1f} on {'long' if row.long else 'shorter'} sentences" for row in rows
    )
    return charts.add(f"Gain over {baseline.title}", f"BLEU above {baseline.title}: {ways}.", spec)


def _speed(report: ComparisonReport, charts: Charts) -> Chart:
    points = {
        model.label: (model.speeds.train_tokens_per_second, model.speeds.sentences_per_second)
        for model in report.models
    }
    spec = scatter(
        points,
        labels_of(report.models),
        x_title="training: target tokens a second",
        y_title="sentences a second",
    )
    ways = "; ".join(f"{label} {x:,.0f} and {y:,.0f}" for label, (x, y) in points.items())
    description = f"Target tokens a second in training, and sentences a second in translating: {ways}."
    return charts.add("Speed in training and in translating", description, spec)
