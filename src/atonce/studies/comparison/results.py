"""What came of trainings that are compared: from outputs, logs and timings to the numbers of a report."""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.data.normalization import compared
from atonce.evaluation.intervals import SAMPLES, SEED, SystemScores
from atonce.evaluation.significance import Metric, Resampled
from atonce.evaluation.words import word_count
from atonce.result import Result
from atonce.studies.environment import machine
from atonce.studies.html import today

# For their types alone: a page is drawn of results without torch.
if TYPE_CHECKING:
    from atonce.data.prepare import Prepared
    from atonce.runs.recipe import Recipe
    from atonce.studies.comparison.compare import Plan
    from atonce.studies.comparison.trial import TrainedModel, Trial

METRICS: tuple[Metric, ...] = ("bleu", "chrf")
"""What translations are compared by. The first decides the order."""
SURE = 0.05
"""Differences with a smaller p-value are told as findings."""
LENGTHS = (range(1, 6), range(6, 9), range(9, 12), range(12, 10_000))
"""Words of the source, by which quality is told apart; of scripts without spaces, characters. The last of
them are the long sentences."""
FEWEST = 10
"""Sentences that a length must have to be scored on its own: BLEU of fewer is hardly a number."""
QUALITY_STEP = 10
"""Between the levels of validation chrF for which the time to get there is told."""


@dataclass(frozen=True)
class CurvePoint(Result):
    """Where a training stood at some validation."""

    step: int
    seconds: float
    """Since the training began, validations included."""
    train_loss: float
    valid_loss: float | None = None
    chrf: float | None = None
    """In per cent, on the validation sentences; None where they were not translated."""


@dataclass(frozen=True)
class Speeds(Result):
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


@dataclass(frozen=True, kw_only=True)
class StudiedModel(Result):
    """One architecture as every page shows it: its size, how it learned and what it takes."""

    name: str
    title: str
    label: str
    """A shorter name, for charts."""
    weights: int
    """How many numbers training adjusts."""
    speeds: Speeds
    curves: tuple[tuple[CurvePoint, ...], ...]
    """For each seed, the points that were validated."""
    runs: tuple[str, ...]
    """The run folders."""


@dataclass(frozen=True, kw_only=True)
class Study(Result):
    """What every page says of how its models were trained."""

    corpus: str
    """One line about the texts: what they are, from whom, under which licence."""
    source_language: str | None
    """As a tag ("de", "zh-Hans"); None if there are several, or none."""
    target_language: str | None
    pairs: int
    """Trained on."""
    test_pairs: int
    """Scored, and never trained on."""
    minutes: float | None
    """The budget of each training; None where that is a number of updates."""
    machine: str
    """For example "2 cores, Intel Xeon Platinum 8488C, torch 2.13.0"."""
    date: str
    slices: int = 1
    """The parts of each training, between which the others had their turn."""
    unequal: str | None = None
    """What to say in place of claims where the models did not have equal budgets."""


@dataclass(frozen=True)
class Estimate(Result):
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
        # The two can disagree near the limit, as they count different things; then nothing is claimed.
        return self.p_value < SURE and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Gain(Result):
    """What a model gains over the baseline, in points."""

    overall: Difference
    short: Difference | None = None
    """On sentences that are not long; None where the test text has too few of either kind."""
    long: Difference | None = None
    more_on_long: Difference | None = None
    """`long - short`: above 0, the gain grows with the length."""


@dataclass(frozen=True)
class LengthPart(Result):
    """The sentences of the test text whose source has so many words."""

    words: str
    """For example "6–8"."""
    sentences: int
    long: bool


@dataclass(frozen=True, kw_only=True)
class ComparedModel(StudiedModel):
    """One architecture with its scores, and what they are surely more or less than the baseline's."""

    dim: int
    scores: dict[Metric, Estimate]
    scores_by_seed: dict[Metric, tuple[float, ...]]
    by_length: tuple[dict[Metric, Estimate], ...]
    """For each of `ComparisonReport.lengths`."""
    gains: dict[Metric, Gain]
    """Over the baseline; empty for itself."""
    seconds_to_chrf: dict[str, float]
    """By level of validation chrF, for the levels that every seed reached."""


@dataclass(frozen=True, kw_only=True)
class ComparisonReport(Study):
    """All that is known of a comparison."""

    steps: int | None
    """The budget of each training: this or `minutes`."""
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
    versions: dict[str, str]
    command: str
    """How to do it again."""
    models: tuple[ComparedModel, ...]

    def ranked(self) -> list[ComparedModel]:
        """The best first, by the first metric."""
        # By the score alone, though neighbours may not differ surely: the findings say which do.
        return sorted(self.models, key=lambda model: model.scores[METRICS[0]].value, reverse=True)


# From runs to results


def study_of(recipe: "Recipe", prepared: "Prepared", trained: "Sequence[TrainedModel]") -> Study:
    """How these models were trained, by the `recipe` that they have in common."""
    from atonce.studies.comparison.turns import seconds_had, slices, unequal

    minutes = recipe.training.minutes
    source_language, target_language = recipe.data.languages
    had = (seconds_had(log) for model in trained for log in model.logs)
    return Study(
        corpus=prepared.report["about"],
        source_language=source_language,
        target_language=target_language,
        pairs=prepared.report["train_pairs"],
        test_pairs=len(prepared.test_pairs),
        minutes=minutes,
        machine=machine(),
        date=today(),
        slices=slices(minutes),
        unequal=None if minutes is None else unequal(had, minutes),
    )


def studied(trained: "TrainedModel", runs: Iterable[str]) -> StudiedModel:
    """What a page shows of any model. `runs`: what it calls the run folders."""
    return StudiedModel(
        name=trained.model.name,
        title=trained.model.title,
        label=trained.model.label,
        weights=trained.trials[0].weights,
        speeds=_speeds(trained.logs, trained.trials),
        curves=tuple(tuple(_curve(log)) for log in trained.logs),
        runs=tuple(runs),
    )


def _speeds(logs: Sequence[list[dict[str, Any]]], trials: "Sequence[Trial]") -> Speeds:
    peaks = [float(trial.peak_memory_bytes) for trial in trials if trial.peak_memory_bytes is not None]
    return Speeds(
        train_seconds=_mean(log[-1]["seconds"] for log in logs),
        steps=round(_mean(log[-1]["step"] for log in logs)),
        # The median: the first entry of each session has its slow first updates in it.
        train_tokens_per_second=_mean(
            float(np.median([entry["target_tokens_per_second"] for entry in log])) for log in logs
        ),
        sentences_per_second=_mean(trial.sentences_per_second for trial in trials),
        sentences_per_second_alone=_mean(trial.sentences_per_second_alone for trial in trials),
        peak_memory_bytes=round(_mean(peaks)) if peaks else None,
    )


def _curve(log: list[dict[str, Any]]) -> Iterable[CurvePoint]:
    """The validated points of a training."""
    for entry in log:
        # A loss that ran away is null in the log, and only some entries have a validation.
        if entry["loss"] is not None and "valid_loss" in entry:
            yield CurvePoint(
                entry["step"], entry["seconds"], entry["loss"], entry["valid_loss"], entry["valid_chrf"]
            )


def comparison_report(
    plan: "Plan", trained: "Sequence[TrainedModel]", prepared: "Prepared", *, baseline: str, command: str
) -> ComparisonReport:
    """All that the report says. `command`: how to do it again."""
    from atonce.training.budget import DEFAULT_STEPS

    recipe = plan.recipe
    sources = [str(pair.source) for pair in prepared.test_pairs]
    # Outputs are in this spelling already (`experiment.evaluate`).
    references = compared([pair.target for pair in prepared.test_pairs], prepared.tokenizer.normalization)
    outputs = {one.model.name: [trial.outputs for trial in one.trials] for one in trained}
    _, target_language = recipe.data.languages
    scores = {
        metric: SystemScores(
            outputs, references, metric=metric, target_language=target_language, samples=SAMPLES
        )
        for metric in METRICS
    }
    by_length = lengths_of(sources)
    return ComparisonReport(
        # A report is a study with more fields: it is built of the fields of one.
        **vars(study_of(recipe, prepared, trained)),
        steps=None if recipe.training.minutes else recipe.training.steps or DEFAULT_STEPS,
        batch_tokens=recipe.training.batch_tokens,
        vocabulary=prepared.tokenizer.size,
        beam=recipe.decoding.beam,
        wanted_weights=plan.weights,
        seeds=tuple(plan.run_seeds),
        baseline=baseline,
        samples=SAMPLES,
        bootstrap_seed=SEED,
        signatures={metric: scores[metric].signature for metric in METRICS},
        lengths=tuple(_length_part(words, indices) for words, indices in by_length),
        versions={name: version(name) for name in ("atonce", "torch", "sacrebleu")}
        | {"python": platform.python_version()},
        command=command,
        models=tuple(_compared(one, scores, by_length, baseline) for one in trained),
    )


def _compared(
    trained: "TrainedModel",
    scores: dict[Metric, SystemScores],
    by_length: list[tuple[range, list[int]]],
    baseline: str,
) -> ComparedModel:
    name = trained.model.name
    basics = studied(trained, (run.name for run in trained.runs))
    return ComparedModel(
        **vars(basics),
        dim=trained.model.model.dim,
        scores={metric: _estimate(by.score(name)) for metric, by in scores.items()},
        scores_by_seed={metric: tuple(by.by_seed(name)) for metric, by in scores.items()},
        by_length=tuple(
            {metric: _estimate(by.score(name, part)) for metric, by in scores.items()}
            for _, part in by_length
        ),
        gains={
            metric: gain(by, name, baseline, by_length) for metric, by in scores.items() if name != baseline
        },
        seconds_to_chrf=seconds_to_quality(basics.curves),
    )


# By the source, whose length all models share; outputs have lengths of their own.
def lengths_of(sources: Sequence[str]) -> list[tuple[range, list[int]]]:
    """The lengths that enough sentences have, with the indices of these."""
    words = [word_count(source) for source in sources]
    found = [(length, [i for i, count in enumerate(words) if count in length]) for length in LENGTHS]
    return [(length, indices) for length, indices in found if len(indices) >= FEWEST]


def _length_part(words: range, indices: list[int]) -> LengthPart:
    if words is LENGTHS[-1]:
        name = f"≥ {words.start}"
    elif words is LENGTHS[0]:
        name = f"< {words.stop}"
    else:
        name = f"{words.start}–{words.stop - 1}"
    return LengthPart(name, len(indices), long=words is LENGTHS[-1])


def gain(scores: SystemScores, model: str, baseline: str, by_length: list[tuple[range, list[int]]]) -> Gain:
    """What a model gains over the baseline: in all, on long sentences, on the others, and the difference."""

    # Every score is of the same draws of sentences, so differences, and differences of these, are paired:
    # what makes a drawn test set hard for all models is not in them.
    def gained(part: Sequence[int] | None) -> Resampled:
        return scores.score(model, part) - scores.score(baseline, part)

    # Each part is scored on its own: BLEU of a whole is no mean of the BLEU of its parts.
    long = [i for words, indices in by_length if words is LENGTHS[-1] for i in indices]
    short = [i for words, indices in by_length if words is not LENGTHS[-1] for i in indices]
    if not long or not short:
        return Gain(_difference(gained(None)))
    on_long, on_short = gained(long), gained(short)
    return Gain(
        _difference(gained(None)),
        _difference(on_short),
        _difference(on_long),
        _difference(on_long - on_short),
    )


def _estimate(of: Resampled) -> Estimate:
    return Estimate(of.value, of.interval.low, of.interval.high)


def _difference(of: Resampled) -> Difference:
    return Difference(of.value, of.interval.low, of.interval.high, of.p_value)


def seconds_to_quality(curves: Sequence[Sequence[CurvePoint]]) -> dict[str, float]:
    """For each whole ten of validation chrF that all seeds reached: the mean time until the first validation
    that showed it."""
    found = {}
    for level in range(QUALITY_STEP, 100, QUALITY_STEP):
        # By validation and not by the test text, which is translated only once, at the end.
        reached = [
            [point.seconds for point in curve if point.chrf is not None and point.chrf >= level]
            for curve in curves
        ]
        # Only where all seeds did: the mean of those that were fast enough would flatter a model.
        if all(reached):
            found[str(level)] = _mean(times[0] for times in reached)
    return found


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
