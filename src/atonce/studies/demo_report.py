"""The page at the end of `atonce demo`: what was trained, how well it translates, and what it looks at.

Plain results in, one HTML file out. It has for two models what a comparison has for many, without intervals,
and what models wrote and looked at beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atonce.evaluation.words import matching_parts
from atonce.studies.comparison.report import counted, in_minutes, learning_charts, task_of
from atonce.studies.comparison.results import StudiedModel, Study
from atonce.studies.html import Chart, Charts, Spec, language_name, render


@dataclass(frozen=True, kw_only=True)
class DemoModel(StudiedModel):
    """One model with its scores, and what it wrote."""

    padding_share: float
    """Share of the positions in all batches, from 0 to 1, that hold no token."""
    scores: dict[str, float]
    """bleu, chrf, ter and exact, in per cent, on the test split."""
    signatures: dict[str, str]
    """How each score was computed, by the same keys."""
    outputs: tuple[str, ...]
    """A translation for each of `DemoReport.examples`."""
    heatmaps: tuple[Spec, ...]
    """A chart for each of `DemoReport.heatmap_sentences`."""
    dark_heatmaps: tuple[Spec, ...] = ()
    """The same charts for a dark page; without them it shows the light ones."""


@dataclass(frozen=True, kw_only=True)
class DemoReport(Study):
    """All that the page shows."""

    minutes: float
    models: tuple[DemoModel, ...]
    examples: tuple[tuple[str, str], ...]
    """Sources and references."""
    heatmap_sentences: tuple[str, ...]
    next_commands: tuple[str, ...]
    title: str = "atonce demo"


def render_demo(report: DemoReport) -> str:
    """The page as text."""
    charts = Charts()
    curves = learning_charts(report.models, ("valid_loss", "chrf"), charts)
    sections = {
        "scores": "Scores",
        "learning": "Learning" if curves else "",
        "speed": "Speed and size",
        "translations": "Translations" if report.examples else "",
        "attention": "Attention" if report.heatmap_sentences else "",
        "next": "What next",
    }
    return render(
        "demo.html.jinja",
        title=report.title,
        kicker="atonce demo",
        date=report.date,
        sections={id: label for id, label in sections.items() if label},
        charts=charts,
        report=report,
        source_name=language_name(report.source_language),
        target_name=language_name(report.target_language),
        lead=_lead(report),
        findings=_findings(report),
        metrics=METRICS,
        best=_best(report.models) if report.unequal is None else {},
        signatures=_signatures(report.models),
        curves=curves,
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
    count = len(report.models)
    time = f"{in_minutes(report.minutes)}{' each' if count > 1 else ''}"
    turns = f", taken in turn in {report.slices} slices" if report.slices > 1 and count > 1 else ""
    return (
        f"{counted(count).capitalize()} learned{task_of(report)} from {report.pairs:,} pairs of texts, in "
        f"{time}{turns}, on {report.machine}."
    )


def _findings(report: DemoReport) -> str:
    """Who translates best, by how much, and who computes faster; nothing of that after unequal budgets."""
    if report.unequal is not None:
        return report.unequal
    tested = f"on {report.test_pairs:,} pairs that were kept out of training"
    # Compared as printed: nobody should read that 27.3 is better than 27.3.
    ranked = sorted(report.models, key=lambda model: model.scores["bleu"], reverse=True)
    scores = [f"{model.scores['bleu']:.1f}" for model in ranked]
    if len(ranked) == 1:
        return f"The {ranked[0].title} reaches BLEU {scores[0]} {tested}."
    first, second = ranked[:2]
    if scores[0] == scores[1]:
        quality = f"The {first.title} and the {second.title} score alike: BLEU {scores[0]} {tested}."
    else:
        quality = (
            f"The {first.title} translates best: BLEU {scores[0]} against {scores[1]} for the "
            f"{second.title}, {tested}."
        )
    return f"{quality} {_speed(report.models, best=first)}".rstrip()


def _speed(models: Sequence[DemoModel], *, best: DemoModel) -> str:
    ranked = sorted(models, key=lambda model: model.speeds.train_tokens_per_second)
    slowest, fastest = ranked[0], ranked[-1]
    if slowest.speeds.train_tokens_per_second <= 0:
        return ""
    ratio = fastest.speeds.train_tokens_per_second / slowest.speeds.train_tokens_per_second
    if ratio < 1.05:  # as budgets are called equal (`turns.EQUAL`): a machine's speed varies as much
        return "Both train equally fast." if len(models) == 2 else "All train equally fast."
    who = "It also" if fastest is best else f"The {fastest.title}"
    than = "" if len(models) == 2 else f" as the {slowest.title}"
    return f"{who} trains {ratio:.1f} times as fast{than}, counted in tokens per second."


def _best(models: Sequence[DemoModel]) -> dict[str, str]:
    """The best score by metric, as it is printed: what reads the same counts as equally good."""
    best = {}
    for metric in METRICS:
        choose = min if metric.lower_is_better else max
        best[metric.key] = f"{choose(model.scores[metric.key] for model in models):.1f}"
    return best


def _signatures(models: Sequence[DemoModel]) -> list[tuple[Metric, str]]:
    """Each metric with its signature; with several if models were scored in different ways."""
    return [
        (metric, "; ".join(dict.fromkeys(model.signatures[metric.key] for model in models)))
        for metric in METRICS
    ]


# Attention


def _attention(report: DemoReport, charts: Charts) -> list[tuple[str, list[Chart]]]:
    """Each sentence with a heat map of every model."""
    by_sentence: list[tuple[str, list[Chart]]] = [(sentence, []) for sentence in report.heatmap_sentences]
    for model in report.models:
        dark: Sequence[Spec | None] = model.dark_heatmaps or [None] * len(model.heatmaps)
        for (sentence, row), light_spec, dark_spec in zip(by_sentence, model.heatmaps, dark, strict=True):
            spec, note = _without_title(light_spec)
            twin = None if dark_spec is None else _without_title(dark_spec)[0]
            description = f"Heat map: attention of {model.title} while it translates “{sentence}”"
            row.append(charts.add(model.title, description, spec, dark=twin, note=note))
    return by_sentence


def _without_title(spec: Spec) -> tuple[Spec, str]:
    """A heat map, and what it says under its title.

    The page writes its titles itself, as text that wraps and can be selected.
    """
    title = spec.get("title")
    subtitle = title.get("subtitle", "") if isinstance(title, dict) else ""
    bare = {key: value for key, value in spec.items() if key != "title"}
    return bare, subtitle if isinstance(subtitle, str) else "\n".join(subtitle)


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
                Translation(model.title, tuple(matching_parts(text, reference)), exact=text == reference)
                for model, text in zip(report.models, texts, strict=True)
            ),
        )
        for (source, reference), texts in zip(report.examples, outputs, strict=True)
    ]
