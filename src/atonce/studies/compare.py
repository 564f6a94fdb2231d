"""`atonce compare`: architectures on equal terms, with honest statistics.

The same data, vocabulary and budget for all; by default also the same number of weights, for which each is
made as wide as it takes. Each is trained from as many seeds as wanted, in processes of their own
(`trial.py`), and intervals say what would become of the scores on other sentences and with other seeds.
"""

import os
import platform
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from atonce.config import Config, differences, nearest
from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.disk import disk_error, write_json, write_text
from atonce.errors import RecipeError, RunError
from atonce.evaluation.intervals import SAMPLES, SEED, SystemScores
from atonce.evaluation.resampling import Metric, Resampled
from atonce.models.named import Architecture, architecture
from atonce.models.width import weight_count, with_weights
from atonce.progress import progress
from atonce.runs import recipe as recipes
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe
from atonce.studies.compare_report import (
    METRICS,
    ComparedModel,
    ComparisonReport,
    Difference,
    Estimate,
    Gain,
    LengthPart,
    Speeds,
    render_comparison,
)
from atonce.studies.machine import machine
from atonce.studies.report import CurvePoint
from atonce.studies.trial import Trial, run_trial
from atonce.training.train import DEFAULT_STEPS

MODELS = (
    "seq2seq-lstm", "additive-bigru", "general-bilstm", "convs2s", "mingru", "transformer-ssru",
    "transformer",
)  # fmt: skip
REPORT, NUMBERS = "report.html", "report.json"
PLAN, DATA = "plan.json", "data"
SHARED = "shared.toml"
"""What the recipes of all runs have in common, to do it all again with."""
LENGTHS = (range(1, 6), range(6, 9), range(9, 12), range(12, 10_000))
"""Words of the source, by which quality is told apart. The last of them are the long sentences."""
FEWEST = 10
"""Sentences that a length must have to be scored on its own."""
QUALITY_STEP = 10
"""Between the levels of validation chrF for which the time to get there is told."""


@dataclass(frozen=True)
class Comparison:
    """What came of it."""

    page: Path
    numbers: Path
    report: ComparisonReport


class _Plan(Config):
    """What a comparison was begun with, and must go on with."""

    recipe: Recipe
    models: tuple[str, ...]
    seeds: int
    weights: int | None
    """None: each architecture in the width it has by its name."""


def compare(
    recipe: Recipe | str | Path,
    folder: str | Path,
    *,
    models: Sequence[str] = MODELS,
    minutes: float | None = None,
    steps: int | None = None,
    seeds: int = 1,
    baseline: str | None = None,
    weights: int | None = None,
    own_widths: bool = False,
    resume: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Train each of the `models`, by name, from `seeds` seeds, and say how they differ and how surely.

    Every architecture is given as many weights, within 5 %, as the recipe's own model has, or as `weights`
    says; or, with `own_widths`, the width it has by its name. `minutes` or `steps` take the place of the
    recipe's budget. Differences are those from `baseline`, the first of the models if none is named.
    `resume`: go on with a comparison that broke off, or make its report again, from another baseline perhaps.

    Writes `report.html`, `report.json`, and a run folder for each model and seed into `folder`.
    Raises RecipeError (an unknown name, a width that cannot be), RunError (the folder holds something else),
    and what `train` raises. All that can be known before is checked before the first training.
    """
    folder = Path(folder)
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe)
    recipe = recipes.with_budget(recipe, minutes=minutes, steps=steps)
    named = _chosen(models)
    baseline = _baseline(baseline, models)
    _check_comparable(recipe, seeds, weights=weights, own_widths=own_widths)
    _check_folder(folder, resume=resume)
    prepared = _prepared(recipe, folder, quiet=quiet)
    wanted = None if own_widths else weights or weight_count(recipe.model, prepared.tokenizer.size)
    plan = _Plan(recipe=recipe, models=tuple(models), seeds=seeds, weights=wanted)
    _check_begun_alike(plan, folder)
    sized = named if wanted is None else [_sized(one, wanted, prepared.tokenizer.size) for one in named]
    write_text(folder / SHARED, recipes.dumps(recipe))
    write_json(folder / PLAN, plan.model_dump(mode="json"))
    trials = _run_all(plan, sized, folder, quiet=quiet)
    with progress("Drawing test sets", quiet=quiet):
        report = _report(plan, sized, trials, prepared, folder, baseline)
    write_json(folder / NUMBERS, report.as_dict())
    write_text(folder / REPORT, render_comparison(report))
    return Comparison(folder / REPORT, folder / NUMBERS, report)


# What is checked before anything is trained


def _chosen(names: Sequence[str]) -> list[Architecture]:
    if not names:
        raise RecipeError("no model is named", why="there is nothing to compare", fix="name two or more")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"{repeated[0]!r} is named twice",
            why="a model has one place in a comparison",
            fix="name it once; how far trainings of the same model differ is what --seeds shows",
        )
    return [architecture(name) for name in names]


def _baseline(name: str | None, models: Sequence[str]) -> str:
    if name is not None and name not in models:
        raise RecipeError(
            f"the baseline {name!r} is not compared",
            why="it is not among the models",
            fix=nearest(name, list(models)),
        )
    return name or models[0]


def _check_comparable(recipe: Recipe, seeds: int, *, weights: int | None, own_widths: bool) -> None:
    if recipe.data.task != "translation":
        raise RecipeError(
            f"cannot compare models of {recipe.data.task}",
            why="quality is measured by BLEU and chrF, and by the length of sentences: of translations",
            fix="take a recipe whose data.task is translation",
        )
    if seeds < 1:
        raise RecipeError(
            f"cannot train from {seeds} seeds", why="it takes one", fix="three are a good number"
        )
    if weights is not None and own_widths:
        raise RecipeError(
            "both a number of weights and their own widths are wanted",
            why="the width decides how many weights there are",
            fix="give one of --weights and --own-widths",
        )


def _check_folder(folder: Path, *, resume: bool) -> None:
    if (folder / PLAN).exists() and not resume:
        raise RunError(
            f"{folder} already holds a comparison",
            why="a new one would overwrite it",
            fix="go on with it by --resume, or choose another folder with --out",
        )
    if not (folder / PLAN).exists() and _foreign(folder):
        raise RunError(
            f"{folder} is not empty",
            why="what it holds is not a comparison",
            fix="choose another folder with --out",
        )


def _foreign(folder: Path) -> bool:
    """Whether there is something that no comparison left behind before it began its first training."""
    if not folder.is_dir():
        return folder.exists()
    return any(path.name not in (DATA, SHARED) for path in folder.iterdir())


def _check_begun_alike(plan: _Plan, folder: Path) -> None:
    """What was begun before must have been this very comparison."""
    path = folder / PLAN
    if not path.exists():
        return
    try:
        before = _Plan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read {path}", why=str(error), fix="restore it, or begin anew in another folder"
        ) from None
    if before != plan:
        raise RunError(
            f"the comparison in {folder} was begun with something else",
            why=f"it differs in {', '.join(differences(before, plan))}; then its runs are not on equal terms",
            fix="give the same recipe and options as before, or choose another folder with --out",
        )


# Data, widths, runs


def _prepared(recipe: Recipe, folder: Path, *, quiet: bool) -> Prepared:
    """The data of all runs, stored once."""
    if (folder / PLAN).exists():
        return open_prepared(folder / DATA)
    shutil.rmtree(folder / DATA, ignore_errors=True)  # of a comparison that could not begin
    return prepare(recipe.data, recipe.vocabulary, folder / DATA, quiet=quiet)


def _sized(model: Architecture, weights: int, vocab: int) -> Architecture:
    return replace(model, model=with_weights(model.model, weights, vocab))


def _run_all(
    plan: _Plan, models: Sequence[Architecture], folder: Path, *, quiet: bool
) -> dict[str, list[Trial]]:
    """The trials of each model, one for each seed.

    Every model has its turn before the second seed begins: should the machine slow down, it does for all.
    """
    trials: dict[str, list[Trial]] = {model.name: [] for model in models}
    for seed, model in product(_seeds(plan), models):
        run = folder / _run_name(model, seed)
        training = plan.recipe.training.model_copy(update={"seed": seed})
        recipe = plan.recipe.model_copy(update={"model": model.model, "training": training})
        _begin(run, recipe, folder / DATA)
        name = model.label if plan.seeds == 1 else f"{model.label}, seed {seed}"
        trials[model.name].append(run_trial(run, name, quiet=quiet))
    return trials


def _begin(run: Path, recipe: Recipe, data: Path) -> None:
    """Make a run folder with its own recipe and the data of all, unless it was begun before."""
    if (run / "recipe.toml").exists():
        return
    shutil.rmtree(run, ignore_errors=True)  # of a beginning that broke off
    try:
        shutil.copytree(data, run, copy_function=_link)
    except OSError as error:
        raise disk_error(run, error) from error
    RunFolder.create(run, recipe)


def _link(source: str, target: str) -> None:
    """The same file under another name, where the disk can do that: nothing ever changes a file in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _seeds(plan: _Plan) -> range:
    first = plan.recipe.training.seed
    return range(first, first + plan.seeds)


def _run_name(model: Architecture, seed: int) -> str:
    return f"{model.name}-seed{seed}"


# The report


def _report(
    plan: _Plan,
    models: Sequence[Architecture],
    trials: dict[str, list[Trial]],
    prepared: Prepared,
    folder: Path,
    baseline: str,
) -> ComparisonReport:
    sources = [str(pair.source) for pair in prepared.test_pairs]
    references = [pair.target for pair in prepared.test_pairs]
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
        seeds=tuple(_seeds(plan)),
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
    )


def lengths_of(sources: Sequence[str]) -> list[tuple[range, list[int]]]:
    """The lengths that enough sentences have, with the indices of these."""
    words = [len(source.split()) for source in sources]
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
    plan: _Plan,
    trials: list[Trial],
    scores: dict[Metric, SystemScores],
    by_length: list[tuple[range, list[int]]],
    folder: Path,
    baseline: str,
) -> ComparedModel:
    runs = [folder / _run_name(model, seed) for seed in _seeds(plan)]
    logs = [RunFolder.open(run).read_log() for run in runs]
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


def _command(plan: _Plan, folder: Path, baseline: str) -> str:
    """How to do it again: the recipe has the budget, and every default written out."""
    options = [
        *("--models", ",".join(plan.models)),
        *("--seeds", str(plan.seeds), "--baseline", baseline),
        *(["--own-widths"] if plan.weights is None else ["--weights", str(plan.weights)]),
    ]
    return shlex.join(["atonce", "compare", str(folder / SHARED), *options, "--out", "runs/again"])
