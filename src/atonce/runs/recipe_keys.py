"""The keys that a recipe may have, as its configs declare them: for people, docs and editors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic.fields import FieldInfo

from atonce.config import Config, bounds_of
from atonce.data.config import DataConfig, VocabularyConfig
from atonce.models.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from atonce.result import Result
from atonce.runs.recipe import DecodingConfig, Recipe, TrainingConfig

SECTIONS: dict[str, object] = {
    "data": DataConfig,
    "vocabulary": VocabularyConfig,
    "model": ModelConfig,
    "model.image": ImageConfig,
    "model.encoder": EncoderConfig,
    "model.decoder": DecoderConfig,
    "training": TrainingConfig,
    "decoding": DecodingConfig,
}


@dataclass(frozen=True)
class RecipeKey(Result):
    """One key of a section."""

    section: str
    key: str
    kinds: tuple[str, ...]
    """The kinds of the section that have it so; none where all have, or where there are no kinds."""
    values: str
    """What it may be: a type, bounds or words."""
    default: str | None
    """As TOML has it, "none" where it need not be there; None where it must be given."""
    meaning: str
    """Its docstring."""


def recipe_keys() -> Iterator[RecipeKey]:
    """Every key, section by section. A key that several kinds have in the same way comes once."""
    for section, annotation in SECTIONS.items():
        configs = [*_configs(annotation)]
        every = sum(len(_kinds(config)) for config in configs)
        found: dict[tuple[str, str, str | None, str], list[str]] = {}
        for config in configs:
            for key, field in config.model_fields.items():
                if not _is_section(field) and not _has_no_choice(key, field):
                    # Kinds that have a key in the same way share a row; where they differ, each has its own.
                    told = (key, _values(field), _default(field), " ".join((field.description or "").split()))
                    found.setdefault(told, []).extend(_kinds(config))
        for (key, values, default, meaning), kinds in found.items():
            some = () if len(kinds) == every else tuple(dict.fromkeys(kinds))
            yield RecipeKey(section, key, some, values, default, meaning)


def recipe_schema() -> dict[str, Any]:
    """A JSON schema of recipes, by which editors complete and check them (Taplo, Even Better TOML)."""
    schema: dict[str, Any] = _any_of(Recipe.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _any_of(schema: Any) -> Any:
    """With `anyOf` in place of `oneOf`, and without OpenAPI's own word.

    A section without a kind has that of its default, so that it may fit several.
    """
    if isinstance(schema, list):
        return [_any_of(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        # oneOf refuses what fits two kinds, as a section without `kind` does.
        "anyOf" if key == "oneOf" else key: _any_of(one)
        for key, one in schema.items()
        if key != "discriminator"
    }


def _configs(annotation: object) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _configs(part)


def _kinds(config: type[Config]) -> tuple[str, ...]:
    return get_args(config.model_fields["kind"].annotation) if "kind" in config.model_fields else ()


def _is_section(field: FieldInfo) -> bool:
    return any(_configs(field.annotation))


def _has_no_choice(key: str, field: FieldInfo) -> bool:
    return key in ("kind", "task") and len(get_args(field.annotation)) == 1


def _default(field: FieldInfo) -> str | None:
    value = field.default
    if field.is_required():
        return None
    if value in (None, (), ""):
        return "none"
    # TOML writes true, Python True.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(field: FieldInfo) -> str:
    annotation = field.annotation
    if annotation is bool:
        return "true, false"
    if bounds := bounds_of(field):
        return str(bounds[0])
    # Of a Literal, or of one inside of a union with None.
    words = [word for part in (annotation, *get_args(annotation)) for word in get_args(part)]
    return ", ".join(word for word in dict.fromkeys(words) if isinstance(word, str)) or "a text"
