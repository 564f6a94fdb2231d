"""What is compared, and what is checked before anything is trained."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from atonce import stored
from atonce.config import Config, differences, nearest
from atonce.disk import LOCK
from atonce.errors import RecipeError, RunError
from atonce.models.architectures import Architecture, architecture
from atonce.runs.recipe import Recipe
from atonce.seeds import LARGEST_SEED

PLAN, DATA, SHARED = "plan.json", "data", "shared.toml"
"""In the folder of a comparison: what it was begun with, the data of all runs, and what the recipes of all
runs have in common, to do it all again with."""


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
    return any(path.name not in (DATA, SHARED, LOCK) for path in folder.iterdir())


def check_begun_alike(plan: Plan, folder: Path) -> None:
    """Raise RunError unless what was begun before is this very comparison."""
    path = folder / PLAN
    if not path.exists():
        return
    try:
        before = Plan.model_validate(stored.read_json(path))
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        raise RunError(
            f"cannot read {path}",
            why=" ".join(stored.why(error).split()),
            fix="restore it, or begin anew in another folder",
        ) from None
    if before != plan:
        raise RunError(
            f"the comparison in {folder} was begun with something else",
            why=f"it differs in {', '.join(differences(before, plan))}; then its runs are not on equal terms",
            fix="give the same recipe and options as before, or choose another folder with --out",
        )
