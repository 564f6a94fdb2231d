"""What came of a comparison: from outputs, logs and timings to the numbers of its report."""

import platform
import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from atonce.data.normalization import compared
from atonce.data.prepare import Prepared
from atonce.evaluation.intervals import SAMPLES, SEED, SystemScores
from atonce.evaluation.resampling import Metric, Resampled
from atonce.evaluation.words import word_count
from atonce.models.architectures import Architecture
from atonce.runs.folder import LOGGED, RunFolder
from atonce.studies.comparison.plan import SHARED, Plan
from atonce.studies.comparison.report import (
    METRICS,
    ComparedModel,
    ComparisonReport,
    Difference,
    Estimate,
    Gain,
    LengthPart,
    Speeds,
)
from atonce.studies.comparison.trial import Trial
from atonce.studies.machine import machine
from atonce.studies.report import CurvePoint
from atonce.studies.turns import seconds_had, slices, unequal
from atonce.training.budget import DEFAULT_STEPS

LENGTHS = (range(1, 6), range(6, 9), range(9, 12), range(12, 10_000))
"""Words of the source, by which quality is told apart; of scripts without spaces, characters. The last of
them are the long sentences."""
FEWEST = 10
"""Sentences that a length must have to be scored on its own."""
QUALITY_STEP = 10
"""Between the levels of validation chrF for which the time to get there is told."""


def findings(
    plan: Plan,
    models: Sequence[Architecture],
    trials: dict[str, list[Trial]],
    prepared: Prepared,
    folder: Path,
    baseline: str,
) -> ComparisonReport:
    """All that the report says. `trials`: those of each model by its name; `folder`: where the runs are."""
    sources = [str(pair.source) for pair in prepared.test_pairs]
    references = compared([pair.target for pair in prepared.test_pairs], prepared.tokenizer.normalization)
    outputs = {name: [trial.outputs for trial in of_model] for name, of_model in trials.items()}
    source_language, target_language = plan.recipe.data.languages
    scores = {
        metric: SystemScores(
            outputs, references, metric=metric, target_language=target_language, samples=SAMPLES
        )
        for metric in METRICS
    }
    by_length = lengths_of(sources)
    training = plan.recipe.training
    logs = [
        RunFolder.open(folder / run_name(model, seed)).read_log(LOGGED)
        for model in models
        for seed in plan.run_seeds
    ]
    return ComparisonReport(
        corpus=prepared.report["about"],
        source_language=source_language,
        target_language=target_language,
        pairs=prepared.report["train_pairs"],
        test_pairs=len(references),
        minutes=training.minutes,
        steps=None if training.minutes else training.steps or DEFAULT_STEPS,
        batch_tokens=training.batch_tokens,
        vocabulary=prepared.tokenizer.size,
        beam=plan.recipe.decoding.beam,
        wanted_weights=plan.weights,
        seeds=tuple(plan.run_seeds),
        baseline=baseline,
        samples=SAMPLES,
        bootstrap_seed=SEED,
        signatures={metric: scores[metric].signature for metric in METRICS},
        lengths=tuple(_length_part(words, indices) for words, indices in by_length),
        machine=machine(),
        versions={name: version(name) for name in ("atonce", "torch", "sacrebleu")}
        | {"python": platform.python_version()},
        command=_command(plan, folder, baseline),
        date=datetime.now(UTC).strftime("%d %B %Y"),
        models=tuple(
            _compared(model, plan, trials[model.name], scores, by_length, folder, baseline)
            for model in models
        ),
        slices=slices(training.minutes),
        unequal=None
        if training.minutes is None
        else unequal((seconds_had(log) for log in logs), training.minutes),
    )


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


def _compared(
    model: Architecture,
    plan: Plan,
    trials: list[Trial],
    scores: dict[Metric, SystemScores],
    by_length: list[tuple[range, list[int]]],
    folder: Path,
    baseline: str,
) -> ComparedModel:
    runs = [folder / run_name(model, seed) for seed in plan.run_seeds]
    logs = [RunFolder.open(run).read_log(LOGGED) for run in runs]
    curves = tuple(tuple(_curve(log)) for log in logs)
    parts = [indices for _, indices in by_length]
    return ComparedModel(
        name=model.name,
        title=model.title,
        label=model.label,
        weights=trials[0].weights,
        dim=model.model.dim,
        scores={metric: _estimate(by.score(model.name)) for metric, by in scores.items()},
        scores_by_seed={metric: tuple(by.by_seed(model.name)) for metric, by in scores.items()},
        by_length=tuple(
            {metric: _estimate(by.score(model.name, part)) for metric, by in scores.items()} for part in parts
        ),
        gains={
            metric: gain(by, model.name, baseline, by_length)
            for metric, by in scores.items()
            if model.name != baseline
        },
        speeds=_speeds(logs, trials),
        seconds_to_chrf=seconds_to_quality(curves),
        curves=curves,
        runs=tuple(run.name for run in runs),
    )


def gain(scores: SystemScores, model: str, baseline: str, by_length: list[tuple[range, list[int]]]) -> Gain:
    """What a model gains over the baseline: in all, on long sentences, on the others, and the difference."""

    def gained(part: Sequence[int] | None) -> Resampled:
        return scores.score(model, part) - scores.score(baseline, part)

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


def _speeds(logs: list[list[dict[str, Any]]], trials: list[Trial]) -> Speeds:
    """Means over the seeds."""
    peaks = [float(trial.peak_memory_bytes) for trial in trials if trial.peak_memory_bytes is not None]
    return Speeds(
        train_seconds=_mean(log[-1]["seconds"] for log in logs),
        steps=round(_mean(log[-1]["step"] for log in logs)),
        train_tokens_per_second=_mean(
            float(np.median([entry["target_tokens_per_second"] for entry in log])) for log in logs
        ),
        sentences_per_second=_mean(trial.sentences_per_second for trial in trials),
        sentences_per_second_alone=_mean(trial.sentences_per_second_alone for trial in trials),
        peak_memory_bytes=round(_mean(peaks)) if peaks else None,
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _curve(log: list[dict[str, Any]]) -> Iterable[CurvePoint]:
    """The validated points of a training."""
    for entry in log:
        if entry["loss"] is not None and "valid_loss" in entry:
            yield CurvePoint(
                entry["step"], entry["seconds"], entry["loss"], entry["valid_loss"], entry["valid_chrf"]
            )


def seconds_to_quality(curves: Sequence[Sequence[CurvePoint]]) -> dict[str, float]:
    """For each whole ten of validation chrF that all seeds reached: the mean time until the first validation
    that showed it."""
    found = {}
    for level in range(QUALITY_STEP, 100, QUALITY_STEP):
        reached = [
            [point.seconds for point in curve if point.chrf is not None and point.chrf >= level]
            for curve in curves
        ]
        if all(reached):
            found[str(level)] = _mean(times[0] for times in reached)
    return found


def _command(plan: Plan, folder: Path, baseline: str) -> str:
    """How to do it again: the recipe has the budget, and every default written out."""
    options = [
        *("--models", ",".join(plan.models)),
        *("--seeds", str(plan.seeds), "--baseline", baseline),
        *(["--own-widths"] if plan.weights is None else ["--weights", str(plan.weights)]),
    ]
    return shlex.join(["atonce", "compare", str(folder / SHARED), *options, "--out", "runs/again"])


def run_name(model: Architecture, seed: int) -> str:
    """The folder of a run."""
    return f"{model.name}-seed{seed}"
