"""The recipe: one frozen typed config of a whole experiment, read from TOML and stored in the run."""

import re
import stat
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import Field, model_validator

from atonce.config import Config, nearest, printable, shown
from atonce.data.config import DataConfig, VocabularyConfig
from atonce.data.lines import BYTE_ORDER_MARK, marked_encoding, unmarked_encoding
from atonce.errors import RecipeError, reason, unreadable
from atonce.models.architectures import architecture
from atonce.models.config import ModelConfig
from atonce.seeds import Seed

FORMAT = 1
"""The format of run folders that this version writes and reads."""
WIDEST_BEAM = 10**6
"""Hypotheses that may be wanted; how many there is memory for is another question (`decoding.search`)."""


class TrainingConfig(Config):
    """How a model learns. Every rate is a pure function of the share of the budget that is used."""

    steps: int | None = Field(default=None, ge=1, le=10**9)
    """Updates to make. Give this or `minutes`."""
    minutes: float | None = Field(default=None, gt=0, le=10**6)
    """Wall-clock time to train, validation included, but not preparing data nor scoring the test split. It is
    kept to if the machine gets busier or freer: the rate follows the share of the time that is used."""
    seed: Seed = 1
    """Of all random numbers: from 0 to 2^64 - 1."""
    batch_tokens: int = Field(default=1536, ge=1, le=10**8)
    """Tokens in a batch, padding included, on the longer side; of an image, its columns count."""
    accumulate: int = Field(default=1, ge=1, le=10_000)
    """Batches whose gradients are added up for one update."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: orthogonalised momentum for the matrices, AdamW for the rest; adamw: AdamW for all."""
    learning_rate: float = Field(default=1e-2, ge=1e-12, le=100)
    """Peak rate of AdamW."""
    muon_learning_rate: float = Field(default=1.5e-2, ge=1e-12, le=100)
    """Peak rate of Muon."""
    weight_decay: float = Field(default=0.01, ge=0, le=100)
    """Share of a weight that an update takes off, times the rate (Loshchilov and Hutter 2019)."""
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant"] = "linear"
    """How the rate falls after the warm-up."""
    warmup: int = Field(default=100, ge=0, le=10**9)
    """Updates over which the rate rises to its peak."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability that is taught for all tokens alike, in place of the right one (Szegedy 2016)."""
    clip_norm: float = Field(default=1.0, ge=1e-12, le=1e12)
    """Gradients longer than this are scaled down to it."""
    average: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the running average of the weights, which is what is validated and kept; 0: no average."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the model's matrix products. auto: bfloat16 where the device has hardware for them. Muon's own are
    in bfloat16 there in any case (training/muon.py)."""
    validate_every: int | None = Field(default=None, ge=1, le=10**9)
    """Updates between validations; without it, eight times in the run, less often in under two minutes."""
    validation_sentences: int = Field(default=200, ge=1, le=10**7)
    """Validation sentences that are translated for chrF (the loss is taken over all)."""
    patience: int | None = Field(default=None, ge=1, le=10**9)
    """Stop after this many validations that were not the best so far."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Of a CPU, to compute with; without it, one for a small model, else as many as torch has
    (`models.threads`). The last bits of sums can depend on it."""
    keep: Literal["loss", "score"] = "loss"
    """What makes a validation the best, whose weights are kept: the lowest loss, or the highest score (chrF,
    accuracy, exact matches). Summaries get better for long after their loss has begun to rise."""
    save_every: int | None = Field(default=None, ge=1, le=10**9)
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

    beam: int = Field(default=4, ge=1, le=WIDEST_BEAM)
    """Hypotheses kept at each step; 1 is greedy."""
    length_penalty: float = Field(default=1.0, ge=0, le=20)
    """Exponent alpha of the length by which scores are divided (Wu 2016, equation 14); 0: none."""
    max_length_ratio: float = Field(default=2.0, gt=0, le=1000)
    """An output has at most this many tokens for each token of its source, plus 10."""
    batch_tokens: int = Field(default=8192, ge=1, le=10**8)
    """Source tokens that are searched at once, times the beam."""


class Recipe(Config):
    """Everything that decides an experiment: data, vocabulary, model, training, decoding.

    `Recipe.load("tatoeba", ["training.steps=2000"])` reads one by name or from a file, and
    `Recipe.parse({"data": {"kind": "files", "source": "a.en", "target": "a.de"}})` makes one of plain values.
    """

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Format of the run folder; written by atonce."""
    about: str = ""
    """One line for `atonce recipes`."""
    data: DataConfig
    vocabulary: VocabularyConfig = VocabularyConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()

    @classmethod
    def load(cls, recipe: str | Path, overrides: Iterable[str] = (), *, model: str | None = None) -> "Recipe":
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
        return cls.parse(values, origin=f"{origin} with --set" if overrides else origin)

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


load = Recipe.load


def with_budget(recipe: Recipe, *, minutes: float | None = None, steps: int | None = None) -> Recipe:
    """The recipe with another budget, if one is given. Raises RecipeError if both are."""
    if minutes is None and steps is None:
        return recipe
    # Through `parse`, not model_copy, which would check nothing.
    training = {**recipe.training.model_dump(), "minutes": minutes, "steps": steps}
    return Recipe.parse({**recipe.model_dump(), "training": training}, origin="the budget given")


def dumps(recipe: Recipe) -> str:
    """The recipe as TOML, every default written out. What is None has no key: TOML has no null."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


LONGEST_FILE = 2**20
"""Bytes of a recipe: those that ship have a thousand."""
_DEEPEST = 16
"""Sections in sections, and lists in lists: no recipe has more than four."""
_LARGEST = 2**64
_DEEP_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{4 * _DEEPEST}}}""")


def values_of(text: str) -> dict[str, Any]:
    """What a TOML text says; a byte order mark at its beginning is no part of it.

    Raises ValueError, which says why, for one that is no TOML, and for what no recipe has: it is too long,
    goes too deep for Python's parser (or would keep it busy for hours), or has a number that nothing can be.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    if len(text) > LONGEST_FILE:
        raise ValueError(f"it has {len(text):,} characters, and a recipe has at most {LONGEST_FILE:,}")
    too_deep = f"it goes deeper than {_DEEPEST} sections, or lists, in one another"
    # Before parsing: for each part of a dotted key, tomllib goes over all of them again.
    if _DEEP_KEY.search(text):
        raise ValueError(too_deep)
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ValueError(too_deep) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python reads no number of more than 4,300 digits, and no date such as 2001-02-31
        raise ValueError("it has a number or a date that cannot be") from None
    # Level by level: what is nested deeply must be told without recursing into it.
    level: list[object] = [values]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if any(isinstance(one, int) and abs(one) > _LARGEST for one in level):
            raise ValueError("it has a number of more than 20 digits")
    if level:
        raise ValueError(too_deep)
    return values


def _inside(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _text_of(path: Path) -> str:
    """The text of a recipe file. Raises RecipeError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe might never end, or never begin
            why = "it is a folder" if path.is_dir() else "it is a pipe or a device, not a file"
            raise _unreadable(path, why)
        with path.open("rb") as file:
            raw = file.read(LONGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise _unreadable(path, reason(error)) from None
    if len(raw) > LONGEST_FILE:
        raise RecipeError(
            f"{path} is too long for a recipe",
            why=f"it has more than {LONGEST_FILE:,} bytes",
            fix="name a recipe; data are named in one, at data.path or data.source",
        )
    encoding = marked_encoding(raw) or (unmarked_encoding(raw) if b"\0" in raw else None)
    if encoding is not None:
        raise RecipeError(
            f"{path} is in {encoding.upper()}",
            why="a recipe is TOML, which is always UTF-8",
            fix=f"save it as UTF-8, or: iconv -f {encoding.upper()} -t UTF-8 OLD > NEW",
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path} is not UTF-8", why=f"byte {error.start} is {error.reason}", fix="save it as UTF-8"
        ) from None


def _unreadable(path: Path, why: str) -> RecipeError:
    return unreadable(
        f"the recipe {printable(str(path))}",
        why,
        fix="check the path; `atonce recipes` lists those that ship with atonce",
        kind=RecipeError,
    )


def _read(recipe: str | Path) -> tuple[dict[str, Any], str]:
    path = Path(recipe)
    if path.suffix == ".toml":
        origin, text = printable(str(path)), _text_of(path)
    elif str(recipe) in names():
        origin = f"recipe {recipe}"
        text = (resources.files("atonce") / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    else:
        raise RecipeError(
            f"no recipe is called {shown(str(recipe))}",
            why="it is neither a recipe that ships with atonce nor a .toml file",
            fix=nearest(recipe, names()),
        )
    try:
        return values_of(text), origin
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{origin} is not TOML", why=str(error), fix="mend that line") from None
    except ValueError as error:
        raise RecipeError(f"{origin} is no recipe", why=str(error), fix="take that out") from None


def _overridden(values: dict[str, Any], override: str) -> dict[str, Any]:
    """`values` with one "a.b=value" applied. The value is read as TOML, or as text where it is no TOML."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted.strip():
        raise RecipeError(
            f"cannot read --set {shown(override)}",
            why="it is not of the form key=value",
            fix="for example: --set training.steps=2000",
        )
    value = _value_of(text, override)
    *sections, key = dotted.strip().split(".")
    if len(sections) > _DEEPEST:
        raise RecipeError(
            f"cannot apply --set {shown(override)}",
            why=f"its key has {len(sections) + 1} parts",
            fix="check the key",
        )
    # Copies along the path only; recipes that others hold are left as they are.
    changed = dict(values)
    section = changed
    for name in sections:
        inner = section.get(name, {})
        if not isinstance(inner, dict):
            raise RecipeError(
                f"cannot apply --set {shown(override)}",
                why=f"{printable(name)} is not a section",
                fix="check the key",
            )
        section[name] = dict(inner)
        section = section[name]
    if sections == ["training"] and key in _BUDGETS:
        # Both together are refused (`_one_budget`), and who gives one means it in place of the other.
        section.pop(_BUDGETS[key], None)
    section[key] = value
    return changed


def _value_of(text: str, override: str) -> Any:
    """The value of an override. Raises RecipeError where it is TOML that no recipe has."""
    try:
        values = values_of(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except ValueError as error:
        raise RecipeError(
            f"cannot apply --set {shown(override)}", why=str(error), fix="give another value"
        ) from None
    return values["value"] if len(values) == 1 else text  # of several lines, which were keys of their own
