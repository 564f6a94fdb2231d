"""The page at the end of `atonce demo`: what was trained, how well it translates, and what it looks at.

Plain results in, one HTML file out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atonce.disk import write_text
from atonce.evaluation.words import matching_parts
from atonce.studies.curves import learning_curves
from atonce.studies.page import Chart, Spec, language_name, render


@dataclass(frozen=True)
class CurvePoint:
    """Where a training stood after some update."""

    step: int
    seconds: float
    """Since the training began, validations included."""
    train_loss: float
    valid_loss: float | None = None
    """None where this point was not validated."""
    chrf: float | None = None
    """In per cent, on the validation sentences."""


@dataclass(frozen=True)
class ModelReport:
    """One model: its size, its training, its scores and what it wrote."""

    name: str
    weights: int
    """How many numbers training adjusts."""
    steps: int
    """Updates of the weights."""
    train_seconds: float
    target_tokens_per_second: float
    padding_share: float
    """Share of the positions in all batches, from 0 to 1, that hold no token."""
    scores: dict[str, float]
    """bleu, chrf, ter and exact, in per cent, on the test split."""
    signatures: dict[str, str]
    """How each score was computed, by the same keys."""
    curve: tuple[CurvePoint, ...]
    outputs: tuple[str, ...]
    """A translation for each of `DemoReport.examples`."""
    heatmaps: tuple[Spec, ...]
    """A chart for each of `DemoReport.heatmap_sentences`."""
    run: str
    """The folder where the model is."""
    dark_heatmaps: tuple[Spec, ...] = ()
    """The same charts for a dark page; without them it shows the light ones."""
    label: str = ""
    """A shorter name, for the end of a curve; the name itself if empty."""


@dataclass(frozen=True)
class DemoReport:
    """All that the page shows."""

    title: str
    corpus: str
    """One line about the texts: what they are, from whom, under which licence."""
    source_language: str | None
    """As a tag ("de", "zh-Hans"); None if there are several, or none."""
    target_language: str | None
    pairs: int
    """Pairs of texts trained on."""
    minutes: float
    """What each model was given."""
    machine: str
    """For example "2 cores, Intel Xeon Platinum 8488C, torch 2.13.0"."""
    date: str
    models: tuple[ModelReport, ...]
    examples: tuple[tuple[str, str], ...]
    """Sources and references."""
    heatmap_sentences: tuple[str, ...]
    next_commands: tuple[str, ...]
    test_pairs: int | None = None
    """Pairs of texts that were scored, none of them trained on."""
    slices: int = 1
    """The parts of each training, between which the others had their turn."""
    unequal: str | None = None
    """What to say in place of claims where the models did not have equal budgets."""


def write_report(report: DemoReport, path: Path) -> None:
    """Write the report as one HTML page. Its folder is made if there is none.

    Raises DiskError if the page cannot be written; one that was there before is then still there.
    """
    write_text(path, render_report(report))


def render_report(report: DemoReport) -> str:
    """The page as text."""
    # One list of charts for the whole page; its figures know them by number.
    charts: list[Spec] = []
    return render(
        "report.html.jinja",
        charts,
        report=report,
        source_name=language_name(report.source_language),
        target_name=language_name(report.target_language),
        lead=_lead(report),
        findings=_findings(report),
        metrics=METRICS,
        best=_best(report.models) if report.unequal is None else {},
        signatures=_signatures(report.models),
        curves=_curves(report.models, charts),
        examples=_examples(report),
        attention=_attention(report, charts),
    )


# Words and scores


@dataclass(frozen=True)
class Metric:
    """How the page speaks of a score."""

    key: str
    title: str
    meaning: str
    lower_is_better: bool = False


METRICS = (
    Metric(
        "bleu",
        "BLEU",
        "How many of its words, and of its sequences of two, three and four words, the reference has too. "
        "From 0 to 100; higher is better.",
    ),
    Metric(
        "chrf",
        "chrF",
        "The same with sequences of one to six characters, so that a wrong ending costs no whole word. "
        "From 0 to 100; higher is better.",
    ),
    Metric(
        "ter",
        "TER",
        "How many words one would have to insert, remove, replace or move to arrive at the reference, "
        "for every hundred words of it. From 0 upwards; lower is better.",
        lower_is_better=True,
    ),
    Metric(
        "exact",
        "Exact",
        "Per cent of the translations that equal their reference, character for character; higher is better.",
    ),
)


def _lead(report: DemoReport) -> str:
    """What was trained, on what, for how long, where."""
    source, target = language_name(report.source_language), language_name(report.target_language)
    count = len(report.models)
    models = {1: "One model", 2: "Two models", 3: "Three models"}.get(count, f"{count} models")
    task = f" to translate {source} into {target}" if source and target else ""
    time = (
        f"{report.minutes:g} {'minute' if report.minutes == 1 else 'minutes'}{' each' if count > 1 else ''}"
    )
    turns = f", taken in turn in {report.slices} slices" if report.slices > 1 and count > 1 else ""
    return (
        f"{models} learned{task} from {report.pairs:,} pairs of texts, in {time}{turns}, on {report.machine}."
    )


def _findings(report: DemoReport) -> str:
    """Who translates best, by how much, and who computes faster; nothing of that after unequal budgets."""
    if report.unequal is not None:
        return report.unequal
    tested = "on pairs that were kept out of training"
    if report.test_pairs is not None:
        tested = f"on {report.test_pairs:,} pairs that were kept out of training"
    ranked = sorted(report.models, key=lambda model: model.scores["bleu"], reverse=True)
    scores = [f"{model.scores['bleu']:.1f}" for model in ranked]
    if len(ranked) == 1:
        return f"The {ranked[0].name} reaches BLEU {scores[0]} {tested}."
    first, second = ranked[:2]
    if scores[0] == scores[1]:
        quality = f"The {first.name} and the {second.name} score alike: BLEU {scores[0]} {tested}."
    else:
        quality = (
            f"The {first.name} translates best: BLEU {scores[0]} against {scores[1]} for the {second.name}, "
            f"{tested}."
        )
    return f"{quality} {_speed(report.models, best=first)}".rstrip()


def _speed(models: Sequence[ModelReport], *, best: ModelReport) -> str:
    ranked = sorted(models, key=lambda model: model.target_tokens_per_second)
    slowest, fastest = ranked[0], ranked[-1]
    if slowest.target_tokens_per_second <= 0:
        return ""
    ratio = fastest.target_tokens_per_second / slowest.target_tokens_per_second
    if ratio < 1.05:
        return "Both train equally fast." if len(models) == 2 else "All train equally fast."
    who = "It also" if fastest is best else f"The {fastest.name}"
    than = "" if len(models) == 2 else f" as the {slowest.name}"
    return f"{who} trains {ratio:.1f} times as fast{than}, counted in tokens per second."


def _best(models: Sequence[ModelReport]) -> dict[str, str]:
    """The best score by metric, as it is printed: what reads the same counts as equally good."""
    best = {}
    for metric in METRICS:
        choose = min if metric.lower_is_better else max
        best[metric.key] = f"{choose(model.scores[metric.key] for model in models):.1f}"
    return best


def _signatures(models: Sequence[ModelReport]) -> list[tuple[Metric, str]]:
    """Each metric with its signature; with several if models were scored in different ways."""
    return [
        (metric, "; ".join(dict.fromkeys(model.signatures[metric.key] for model in models)))
        for metric in METRICS
    ]


# Charts


def _curves(models: Sequence[ModelReport], charts: list[Spec]) -> list[Chart]:
    """How loss and chrF came about by time and by step; those that were never measured are left out."""
    return [
        chart
        for quantity in ("valid_loss", "chrf")
        for axis in ("minutes", "step")
        if (chart := _curve(models, quantity, axis, charts)) is not None
    ]


def _curve(
    models: Sequence[ModelReport],
    quantity: Literal["valid_loss", "chrf"],
    axis: Literal["minutes", "step"],
    charts: list[Spec],
) -> Chart | None:
    measured = {model.label or model.name: _measured(model, quantity, axis) for model in models}
    lines = {label: line for label, line in measured.items() if line}
    if not lines:
        return None
    what, better = {
        "valid_loss": ("Validation loss", "lower is better"),
        "chrf": ("Validation chrF", "higher is better"),
    }[quantity]
    x_title = {"minutes": "minutes of training", "step": "updates of the weights"}[axis]
    charts.append(learning_curves(lines, list(measured), x_title=x_title, y_title=what))
    title = f"{what} by {'time' if axis == 'minutes' else 'step'}"
    ways = "; ".join(f"{label} from {line[0][1]:.2f} to {line[-1][1]:.2f}" for label, line in lines.items())
    return Chart(f"{title} ({better})", f"Line chart. {title}: {ways}.", number=len(charts) - 1)


def _measured(model: ModelReport, quantity: str, axis: str) -> list[tuple[float, float]]:
    points = [
        (point.seconds / 60 if axis == "minutes" else float(point.step), getattr(point, quantity))
        for point in model.curve
    ]
    return [(x, y) for x, y in points if y is not None and math.isfinite(y)]


def _attention(report: DemoReport, charts: list[Spec]) -> list[tuple[str, list[Chart]]]:
    """Each sentence with a heat map of every model."""
    by_sentence: list[tuple[str, list[Chart]]] = [(sentence, []) for sentence in report.heatmap_sentences]
    for model in report.models:
        dark: Sequence[Spec | None] = model.dark_heatmaps or [None] * len(model.heatmaps)
        for (sentence, row), light_spec, dark_spec in zip(by_sentence, model.heatmaps, dark, strict=True):
            number, note = _heatmap(light_spec, charts)
            dark_number = None if dark_spec is None else _heatmap(dark_spec, charts)[0]
            description = f"Heat map: attention of {model.name} while it translates “{sentence}”"
            row.append(Chart(model.name, description, number, dark_number, note))
    return by_sentence


def _heatmap(spec: Spec, charts: list[Spec]) -> tuple[int, str]:
    """Put a heat map among the charts of the page. Returns its number, and what it says under its title.

    The page writes its titles itself, as text that wraps and can be selected.
    """
    title = spec.get("title")
    subtitle = title.get("subtitle", "") if isinstance(title, dict) else ""
    charts.append({key: value for key, value in spec.items() if key != "title"})
    return len(charts) - 1, subtitle if isinstance(subtitle, str) else "\n".join(subtitle)


# Translations


@dataclass(frozen=True)
class Translation:
    """What one model wrote for one example."""

    model: str
    parts: tuple[tuple[str, bool], ...]
    """The text in parts, each with whether the reference has its words."""
    exact: bool
    """Whether it equals the reference."""


@dataclass(frozen=True)
class Example:
    """One source, its reference, and what every model made of it."""

    source: str
    reference: str
    translations: tuple[Translation, ...]


def _examples(report: DemoReport) -> list[Example]:
    outputs = zip(*(model.outputs for model in report.models), strict=True)
    return [
        Example(
            source=source,
            reference=reference,
            translations=tuple(
                Translation(model.name, tuple(matching_parts(text, reference)), exact=text == reference)
                for model, text in zip(report.models, texts, strict=True)
            ),
        )
        for (source, reference), texts in zip(report.examples, outputs, strict=True)
    ]
