"""`atonce compare`: architectures on equal terms, with honest statistics.

The same data, vocabulary and budget for all; by default also the same number of weights, for which each is
made as wide as it takes. Each is trained from as many seeds as wanted, in processes of their own (`trial.py`)
and, where the budget is time, in turn (`turns.py`); and intervals say what would become of the scores on
other sentences and with other seeds.
"""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from atonce import stored
from atonce.config import Config, differences, nearest
from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.disk import LOCK, advising, owned, place, remove_partial, write_json, write_text
from atonce.errors import RecipeError, RunError, reason, unreadable
from atonce.models.architectures import ONE_OF_EACH_FAMILY, Architecture, architecture
from atonce.models.size_matching import weight_count, with_weights
from atonce.progress import progress
from atonce.runs import recipe as recipes
from atonce.runs.recipe import Recipe
from atonce.seeds import LARGEST_SEED
from atonce.studies.comparison.report import render_comparison
from atonce.studies.comparison.results import ComparisonReport, comparison_report
from atonce.studies.comparison.trial import TrainedModel, run_trial
from atonce.studies.comparison.turns import Entry, train_in_turn

MODELS = ONE_OF_EACH_FAMILY
REPORT, NUMBERS = "report.html", "report.json"
PLAN, DATA, SHARED = "plan.json", "data", "shared.toml"
"""In the folder of a comparison: what it was begun with, the data of all runs, and what the recipes of all
runs have in common, to do it all again with."""


# Without the baseline: results are told against it, but no training depends on it, so --resume may change
# it.
class Plan(Config):
    """What a comparison was begun with, and must go on with."""

    recipe: Recipe
    models: tuple[str, ...]
    seeds: int = Field(ge=1, le=10_000)
    weights: int | None = Field(ge=1, le=10**15)
    """None: each architecture in the width it has by its name."""

    @property
    def run_seeds(self) -> range:
        """The seed of each training of a model."""
        first = self.recipe.training.seed
        return range(first, first + self.seeds)


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
        # After the data: how many weights a width has depends on the vocabulary, which may come out smaller.
        wanted = None if own_widths else weights or weight_count(recipe.model, prepared.tokenizer.size)
        plan = Plan(recipe=recipe, models=tuple(models), seeds=seeds, weights=wanted)
        check_begun_alike(plan, folder)
        sized = named if wanted is None else [_sized(one, wanted, prepared.tokenizer.size) for one in named]
        # Written when all that can be wrong is known: without a plan, a folder may be begun anew.
        write_text(folder / SHARED, recipes.dumps(recipe))
        write_json(folder / PLAN, plan.model_dump(mode="json"))
        trained = _train_all(plan, sized, folder, quiet=quiet)
        command = _command(plan, folder, baseline)
        with progress("Drawing test sets", quiet=quiet):
            report = comparison_report(plan, trained, prepared, baseline=baseline, command=command)
        write_json(folder / NUMBERS, report.to_dict())
        write_text(folder / REPORT, render_comparison(report))
    return Comparison(folder / REPORT, folder / NUMBERS, report)


def _prepared(recipe: Recipe, folder: Path, *, quiet: bool) -> Prepared:
    """The data of all runs, stored once."""
    # Never made anew for runs that have begun: a corpus may have changed since.
    if (folder / PLAN).exists():
        return open_prepared(folder / DATA)
    shutil.rmtree(folder / DATA, ignore_errors=True)  # of a comparison that could not begin
    return prepare(recipe.data, recipe.vocabulary, folder / DATA, quiet=quiet)


def _sized(model: Architecture, weights: int, vocab: int) -> Architecture:
    return replace(model, model=with_weights(model.model, weights, vocab))


def _train_all(
    plan: Plan, models: Sequence[Architecture], folder: Path, *, quiet: bool
) -> list[TrainedModel]:
    """Train each model from each seed.

    Every model has its turns before the second seed begins: should the machine slow down, it does for all.
    """
    for seed in plan.run_seeds:
        training = plan.recipe.training.model_copy(update={"seed": seed})
        recipe = plan.recipe.model_copy(update={"training": training})
        of_seed = "" if plan.seeds == 1 else f", seed {seed}"
        entries = [
            Entry(model, folder / _run_name(model, seed), f"{model.label}{of_seed}") for model in models
        ]
        train_in_turn(entries, recipe, folder / DATA, run_trial, quiet=quiet)
    return [
        TrainedModel.read(model, [folder / _run_name(model, seed) for seed in plan.run_seeds])
        for model in models
    ]


def _run_name(model: Architecture, seed: int) -> str:
    return f"{model.name}-seed{seed}"


def _command(plan: Plan, folder: Path, baseline: str) -> str:
    """How to do it again: the recipe has the budget, and every default written out."""
    options = [
        *("--models", ",".join(plan.models)),
        *("--seeds", str(plan.seeds), "--baseline", baseline),
        *(["--own-widths"] if plan.weights is None else ["--weights", str(plan.weights)]),
    ]
    return shlex.join(["atonce", "compare", str(folder / SHARED), *options, "--out", "runs/again"])


# What is checked before anything is trained


def chosen(names: Sequence[str]) -> list[Architecture]:
    """The architectures of these names. Raises RecipeError if one is unknown or named twice, or none is."""
    if not names:
        raise RecipeError("no model is named", why="there is nothing to compare", fix="name two or more")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"{repeated[0]!r} is named twice",
            why="a model has one place in a comparison",
            fix="name it once; how far trainings of the same model differ is what --seeds shows",
        )
    return [architecture(name) for name in names]


def baseline_of(name: str | None, models: Sequence[str]) -> str:
    """The model that others are set against; the first, if none is named.

    Raises RecipeError if it is not compared.
    """
    if name is not None and name not in models:
        raise RecipeError(
            f"the baseline {name!r} is not compared",
            why="it is not among the models",
            fix=nearest(name, list(models)),
        )
    return name or models[0]


def check_comparable(recipe: Recipe, seeds: int, *, weights: int | None, own_widths: bool) -> None:
    """Raise RecipeError where there is nothing that can be compared so."""
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
    if (last := recipe.training.seed + seeds - 1) > LARGEST_SEED:
        raise RecipeError(
            f"cannot train from {seeds} seeds, the first being {recipe.training.seed}",
            why=f"the last would be {last}, and the largest is {LARGEST_SEED}",
            fix="give training.seed a smaller value",
        )
    if weights is not None and own_widths:
        raise RecipeError(
            "both a number of weights and their own widths are wanted",
            why="the width decides how many weights there are",
            fix="give one of --weights and --own-widths",
        )


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raise RunError if the folder holds what a new comparison would overwrite, or something else."""
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
    # Written before the plan, by a comparison that was killed then: all three are made anew.
    return any(path.name not in (DATA, SHARED, LOCK) for path in folder.iterdir())


def check_begun_alike(plan: Plan, folder: Path) -> None:
    """Raise RunError unless what was begun before is this very comparison."""
    path = folder / PLAN
    if not path.exists():
        return
    try:
        before = Plan.model_validate(stored.read_json(path))
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        why = " ".join(reason(error).split())
        raise unreadable(
            path, why, fix="restore it, or begin anew in another folder", kind=RunError
        ) from None
    if before != plan:
        raise RunError(
            f"the comparison in {folder} was begun with something else",
            why=f"it differs in {', '.join(differences(before, plan))}; then its runs are not on equal terms",
            fix="give the same recipe and options as before, or choose another folder with --out",
        )
