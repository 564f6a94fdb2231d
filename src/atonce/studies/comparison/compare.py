"""`atonce compare`: architectures on equal terms, with honest statistics.

The same data, vocabulary and budget for all; by default also the same number of weights, for which each is
made as wide as it takes. Each is trained from as many seeds as wanted, in processes of their own (`trial.py`)
and, where the budget is time, in turn (`turns.py`); and intervals say what would become of the scores on
other sentences and with other seeds.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.disk import (
    advising,
    copy_linked,
    disk_error,
    owned,
    place,
    remove_partial,
    write_json,
    write_text,
)
from atonce.models.architectures import Architecture
from atonce.models.size_matching import weight_count, with_weights
from atonce.progress import progress
from atonce.runs import recipe as recipes
from atonce.runs.folder import RunFolder
from atonce.runs.recipe import Recipe
from atonce.studies.comparison.findings import findings, run_name
from atonce.studies.comparison.plan import (
    DATA,
    PLAN,
    SHARED,
    Plan,
    baseline_of,
    check_begun_alike,
    check_comparable,
    check_folder,
    chosen,
)
from atonce.studies.comparison.report import ComparisonReport, render_comparison
from atonce.studies.comparison.trial import Trial, read_trial, run_trial
from atonce.studies.turns import turns

MODELS = (
    "seq2seq-lstm", "additive-bigru", "general-bilstm", "convs2s", "mingru", "transformer-ssru",
    "transformer",
)  # fmt: skip
REPORT, NUMBERS = "report.html", "report.json"


@dataclass(frozen=True)
class Comparison:
    """What came of it."""

    page: Path
    numbers: Path
    report: ComparisonReport


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
    Raises RecipeError (an unknown name, a width that cannot be), RunError (the folder holds something else,
    or another process compares there), and what `train` raises. All that can be known before is checked
    before the first training.
    """
    folder = place(folder)
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe)
    recipe = recipes.with_budget(recipe, minutes=minutes, steps=steps)
    named = chosen(models)
    baseline = baseline_of(baseline, models)
    check_comparable(recipe, seeds, weights=weights, own_widths=own_widths)
    with advising("give the same command with --resume"), owned(folder, "compares"):
        remove_partial(folder)
        check_folder(folder, resume=resume)
        prepared = _prepared(recipe, folder, quiet=quiet)
        wanted = None if own_widths else weights or weight_count(recipe.model, prepared.tokenizer.size)
        plan = Plan(recipe=recipe, models=tuple(models), seeds=seeds, weights=wanted)
        check_begun_alike(plan, folder)
        sized = named if wanted is None else [_sized(one, wanted, prepared.tokenizer.size) for one in named]
        write_text(folder / SHARED, recipes.dumps(recipe))
        write_json(folder / PLAN, plan.model_dump(mode="json"))
        trials = _run_all(plan, sized, folder, quiet=quiet)
        with progress("Drawing test sets", quiet=quiet):
            report = findings(plan, sized, trials, prepared, folder, baseline)
        write_json(folder / NUMBERS, report.to_dict())
        write_text(folder / REPORT, render_comparison(report))
    return Comparison(folder / REPORT, folder / NUMBERS, report)


def _prepared(recipe: Recipe, folder: Path, *, quiet: bool) -> Prepared:
    """The data of all runs, stored once."""
    if (folder / PLAN).exists():
        return open_prepared(folder / DATA)
    shutil.rmtree(folder / DATA, ignore_errors=True)  # of a comparison that could not begin
    return prepare(recipe.data, recipe.vocabulary, folder / DATA, quiet=quiet)


def _sized(model: Architecture, weights: int, vocab: int) -> Architecture:
    return replace(model, model=with_weights(model.model, weights, vocab))


def _run_all(
    plan: Plan, models: Sequence[Architecture], folder: Path, *, quiet: bool
) -> dict[str, list[Trial]]:
    """The trials of each model, one for each seed.

    Every model has its turns before the second seed begins: should the machine slow down, it does for all.
    """
    trials: dict[str, list[Trial]] = {model.name: [] for model in models}
    for seed in plan.run_seeds:
        runs = [folder / run_name(model, seed) for model in models]
        training = plan.recipe.training.model_copy(update={"seed": seed})
        for run, model in zip(runs, models, strict=True):
            recipe = plan.recipe.model_copy(update={"model": model.model, "training": training})
            _begin(run, recipe, folder / DATA)
        for number, pause_at in turns(len(models), training.minutes):
            label = models[number].label
            name = label if plan.seeds == 1 else f"{label}, seed {seed}"
            run_trial(runs[number], name, pause_at=pause_at, quiet=quiet)
        for run, model in zip(runs, models, strict=True):
            trials[model.name].append(read_trial(run))
    return trials


def _begin(run: Path, recipe: Recipe, data: Path) -> None:
    """Make a run folder with its own recipe and the data of all, unless it was begun before."""
    if (run / "recipe.toml").exists():
        remove_partial(run)
        return
    shutil.rmtree(run, ignore_errors=True)  # of a beginning that broke off
    try:
        copy_linked(data, run)
    except OSError as error:
        raise disk_error(run, error) from error
    RunFolder.create(run, recipe)
