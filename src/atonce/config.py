"""The base of every config: frozen, typed, and merciless with unknown keys."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from atonce.errors import RecipeError

# beartype, which checks the signatures under test, has no answer to typing.Self.
C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A small frozen set of options. The text under a field is its documentation."""

    # Numbers become texts where texts are wanted: a column of a table may be called 2.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
    )

    @classmethod
    def parse(cls: type[C], values: Mapping[str, Any], *, origin: str) -> C:
        """Check `values`, as read from a TOML file named `origin`, and fill in the defaults.

        Raises RecipeError for an unknown key or an impossible value, naming the nearest known one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(cls, values, error.errors()[0], origin) from None


def nearest(word: object, known: list[str]) -> str:
    """A sentence that helps someone who wrote `word` where one of `known` was meant."""
    close = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def differences(one: Config, other: Config, prefix: str = "") -> list[str]:
    """The keys whose values differ, dotted, with both values."""
    if type(one) is not type(other):
        return [f"{prefix}kind"]
    found = []
    for key in type(one).model_fields:
        ours, theirs = getattr(one, key), getattr(other, key)
        if isinstance(ours, Config) and isinstance(theirs, Config):
            found += differences(ours, theirs, f"{prefix}{key}.")
        elif ours != theirs:
            found.append(f"{prefix}{key} ({ours} before, {theirs} now)")
    return found


def _explain(
    config: type[Config], values: Mapping[str, Any], error: ErrorDetails, origin: str
) -> RecipeError:
    """Turn pydantic's first complaint into an error with what, why and fix."""
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        *parents, key = _drop_tags(path, values)
        known = _known_keys(config, path[:-1])
        return RecipeError(
            f"unknown key {key!r} in {origin}" + (f", section [{'.'.join(parents)}]" if parents else ""),
            why="a misspelt key would silently leave its default in place",
            fix=nearest(key, known),
        )
    dotted = ".".join(_drop_tags(path, values))
    if error["type"] == "union_tag_invalid":
        known = [tag.strip(" '") for tag in error["ctx"]["expected_tags"].split(",")]
        kind = error["ctx"]["tag"]
        return RecipeError(
            f"unknown {dotted}.kind {kind!r} in {origin}", why="no such kind exists", fix=nearest(kind, known)
        )
    if error["type"] == "union_tag_not_found":
        return RecipeError(
            f"{dotted}.kind is missing in {origin}",
            why="the other keys of the section depend on it",
            fix=f"add a kind to the section [{dotted}]",
        )
    if error["type"] == "literal_error":
        known = [word.strip(" '") for word in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return RecipeError(
            f"{dotted} is {error['input']!r} in {origin}",
            why="that is not one of the values it can have",
            fix=nearest(error["input"], known),
        )
    if error["type"] == "missing":
        return RecipeError(
            f"{dotted} is missing in {origin}", why="it has no default", fix=f"give {dotted} a value"
        )
    what, _, fix = error["msg"].removeprefix("Value error, ").partition(" -> ")
    whole_section = isinstance(error["input"], Mapping) and error["type"] == "value_error"
    if whole_section:
        subject = f"[{dotted}] does not fit together" if dotted else "it does not fit together"
    else:
        subject = f"{dotted} cannot be {error['input']!r}"
    return RecipeError(
        f"{subject} in {origin}",
        why=what[0].lower() + what[1:],
        fix=fix or f"change {dotted}",
    )


def _drop_tags(path: list[str], values: object) -> list[str]:
    """Pydantic adds the kind chosen to the path of an error inside a union; a reader does not write it."""
    kept = []
    for part in path[:-1]:
        if isinstance(values, Mapping):
            if part not in values and values.get("kind", part) == part:
                continue
            values = values.get(part)
        kept.append(part)
    return [*kept, *path[-1:]]


def _known_keys(config: type[Config], path: list[str]) -> list[str]:
    """The field names of the config found by following `path`, tags of unions included, from `config`."""
    choices = [config]
    for part in path:
        if len(choices) > 1:  # a union: `part` is the kind that was chosen
            choices = [one for one in choices if part in get_args(one.model_fields["kind"].annotation)]
        else:
            choices = _configs_in(choices[0].model_fields[part].annotation)
    return list(choices[0].model_fields)


def _configs_in(annotation: object) -> list[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [found for part in get_args(annotation) for found in _configs_in(part)]
