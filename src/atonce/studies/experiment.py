"""One experiment: train a recipe, score it on its test split, keep both in the run folder."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from atonce.disk import owned
from atonce.progress import progress
from atonce.runs import recipe as recipes
from atonce.runs.folder import RunFolder, resumable
from atonce.runs.recipe import Recipe
from atonce.studies.evaluate import Evaluation, evaluate
from atonce.training import train as training
from atonce.training.callbacks import Callback, progress_bar
from atonce.training.distributed import is_first


@dataclass(frozen=True)
class Experiment:
    """What came of it."""

    run: RunFolder
    evaluation: Evaluation


def train(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    name: str | None = None,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Experiment:
    """Train into the folder `out`, then translate and score the test split; scores go into scores.json.

    `recipe`: the name of one that ships with atonce, a .toml file, or a Recipe. `minutes` or `steps` take the
    place of its budget. `resume`: go on with a training that broke off. `name`: what progress bars say.
    `callbacks`: what is told of each step (`training.callbacks.Callback`).
    Raises RecipeError, DataError, RunError, TrainingError, DiskError: all AtonceErrors.
    """
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe)
    recipe = recipes.with_budget(recipe, minutes=minutes, steps=steps)
    name = name or Path(out).name
    # Owned until it is scored: scores are written into the folder as well.
    having = owned(Path(out), "trains") if is_first() else nullcontext()
    with resumable(Path(out)), having:
        with progress_bar(name, quiet=quiet) as shown:
            run = training.train(
                recipe, out, resume=resume, callbacks=[shown, *callbacks], quiet=quiet, has_folder=True
            )
        return score(run, name, quiet=quiet)


def score(run: RunFolder, name: str, *, quiet: bool = False) -> Experiment:
    """Translate and score the test split of a run. `name`: what progress bars say."""
    with progress(f"{name}: translating the test text", quiet=quiet) as advance:
        evaluation = evaluate(run.path, on_progress=advance)
    run.save_scores(evaluation.to_dict())
    return Experiment(run, evaluation)
