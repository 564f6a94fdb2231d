"""The recipe: one frozen typed config of a whole experiment, read from TOML and stored in the run."""

import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, model_validator

from atonce.config import Config, nearest
from atonce.data.config import DataConfig, VocabularyConfig
from atonce.errors import RecipeError
from atonce.models.config import ModelConfig
from atonce.models.named import architecture
from atonce.seeds import Seed

FORMAT = 1
"""The format of run folders that this version writes and reads."""


class TrainingConfig(Config):
    """How a model learns. Every rate is a pure function of the share of the budget that is used."""

    steps: int | None = Field(default=None, ge=1)
    """Updates to make. Give this or `minutes`."""
    minutes: float | None = Field(default=None, gt=0)
    """Wall-clock time to train, validation included, but not preparing data nor scoring the test split. It is
    kept to if the machine gets busier or freer: the rate follows the share of the time that is used."""
    seed: Seed = 1
    """Of all random numbers: from 0 to 2^64 - 1."""
    batch_tokens: int = Field(default=1536, ge=1)
    """Pieces in a batch, padding included, on the longer side; of an image, its columns count."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are added up for one update."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: orthogonalised momentum for the matrices, AdamW for the rest; adamw: AdamW for all."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Peak rate of AdamW."""
    muon_learning_rate: float = Field(default=1.5e-2, gt=0)
    """Peak rate of Muon."""
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant"] = "linear"
    """How the rate falls after the warm-up."""
    warmup: int = Field(default=100, ge=0)
    """Updates over which the rate rises to its peak."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    average: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the running average of the weights, which is what is validated and kept; 0: no average."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the model's matrix products. auto: bfloat16 where the device has hardware for them. Muon's own are
    in bfloat16 there in any case (`training.muon`)."""
    validate_every: int | None = Field(default=None, ge=1)
    """Updates between validations; without it, eight times in the run, less often in under two minutes."""
    validation_sentences: int = Field(default=200, ge=1)
    """Validation sentences that are translated for chrF (the loss is taken over all)."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many validations that were not the best so far."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Of a CPU, to compute with; without it, one for a small model, else as many as torch has
    (`models.threads`). The last bits of sums can depend on it."""
    keep: Literal["loss", "score"] = "loss"
    """What makes a validation the best, whose weights are kept: the lowest loss, or the highest score (chrF,
    accuracy, exact matches). Summaries get better for long after their loss has begun to rise."""
    save_every: int | None = Field(default=None, ge=1)
    """Updates between checkpoints; without it, at each validation."""

    @model_validator(mode="after")
    def _one_budget(self) -> "TrainingConfig":
        if self.steps is not None and self.minutes is not None:
            raise ValueError(
                "steps and minutes are both given -> keep one of training.steps and training.minutes"
            )
        return self


class DecodingConfig(Config):
    """How translations are searched for."""

    beam: int = Field(default=4, ge=1)
    """Hypotheses kept at each step; 1 is greedy."""
    length_penalty: float = Field(default=1.0, ge=0)
    """Exponent alpha of the length by which scores are divided (Wu 2016, equation 14); 0: none."""
    max_length_ratio: float = Field(default=2.0, gt=0)
    """An output has at most this many pieces for each piece of its source, plus 10."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Source pieces that are searched at once, times the beam."""


class Recipe(Config):
    """Everything that decides an experiment: data, vocabulary, model, training, decoding."""

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Format of the run folder; written by atonce."""
    about: str = ""
    """One line for `atonce recipes`."""
    data: DataConfig
    vocabulary: VocabularyConfig = VocabularyConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()

    @model_validator(mode="after")
    def _model_fits_the_task(self) -> "Recipe":
        labels = self.data.task == "classification"
        if labels != (self.model.decoder.kind == "classifier"):
            raise ValueError(
                f"the data are for {self.data.task} and the decoder is a {self.model.decoder.kind} -> "
                + ('give model.decoder.kind the value "classifier"' if labels else "choose another decoder")
            )
        if self.model.image is not None and not self.data.reads_images:
            raise ValueError(
                f"there are no images in {self.data.kind} -> leave the section [model.image] out"
            )
        return self


_BUDGETS = {"steps": "minutes", "minutes": "steps"}


def names() -> list[str]:
    """The recipes that ship with the package, in alphabetical order."""
    folder = resources.files("atonce") / "recipes"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load(recipe: str | Path, overrides: Iterable[str] = (), *, model: str | None = None) -> Recipe:
    """Read a recipe by name or from a .toml file, then apply overrides such as "training.steps=2000".

    `model`: the name of an architecture (`atonce recipes` lists them) in place of the recipe's own. An
    override of one budget, training.steps or training.minutes, takes the place of the other. Raises
    RecipeError if there is no such recipe or architecture, if it is not TOML, or if a key or value is not
    known.
    """
    values, origin = _read(recipe)
    overrides = list(overrides)
    if model is not None:
        values = {**values, "model": architecture(model).model.model_dump(exclude_none=True)}
    for override in overrides:
        values = _overridden(values, override)
    return Recipe.parse(values, origin=f"{origin} with --set" if overrides else origin)


def with_budget(recipe: Recipe, *, minutes: float | None = None, steps: int | None = None) -> Recipe:
    """The recipe with another budget, if one is given. Raises RecipeError if both are."""
    if minutes is None and steps is None:
        return recipe
    training = {**recipe.training.model_dump(), "minutes": minutes, "steps": steps}
    return Recipe.parse({**recipe.model_dump(), "training": training}, origin="the budget given")


def dumps(recipe: Recipe) -> str:
    """The recipe as TOML, every default written out. What is None has no key: TOML has no null."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _read(recipe: str | Path) -> tuple[dict[str, Any], str]:
    path = Path(recipe)
    if path.suffix == ".toml":
        origin = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise RecipeError(
                f"cannot read the recipe {path}",
                why=error.strerror or str(error),
                fix="check the path; `atonce recipes` lists those that ship with atonce",
            ) from None
        except UnicodeDecodeError as error:
            raise RecipeError(
                f"{path} is not UTF-8", why=f"byte {error.start} is {error.reason}", fix="save it as UTF-8"
            ) from None
    elif str(recipe) in names():
        origin = f"recipe {recipe}"
        text = (resources.files("atonce") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    else:
        raise RecipeError(
            f"no recipe is called {str(recipe)!r}",
            why="it is neither a recipe that ships with atonce nor a .toml file",
            fix=nearest(recipe, names()),
        )
    try:
        return tomllib.loads(text), origin
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not TOML", why=str(error), fix="mend that line") from None


def _overridden(values: dict[str, Any], override: str) -> dict[str, Any]:
    """`values` with one "a.b=value" applied. The value is read as TOML, or as text where it is no TOML."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted.strip():
        raise RecipeError(
            f"cannot read --set {override!r}",
            why="it is not of the form key=value",
            fix="for example: --set training.steps=2000",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, key = dotted.strip().split(".")
    changed = dict(values)
    section = changed
    for name in sections:
        inner = section.get(name, {})
        if not isinstance(inner, dict):
            raise RecipeError(
                f"cannot apply --set {override!r}", why=f"{name} is not a section", fix="check the key"
            )
        section[name] = dict(inner)
        section = section[name]
    if sections == ["training"] and key in _BUDGETS:
        section.pop(_BUDGETS[key], None)
    section[key] = value
    return changed
