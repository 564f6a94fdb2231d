"""The base of every config: frozen, typed, and merciless with unknown keys."""

import difflib
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
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
    def parse(cls: type[C], values: Mapping[str, Any], *, origin: str = "the recipe") -> C:
        """Check `values`, given in Python or read from a TOML file named `origin`; fill in the defaults.

        Raises RecipeError for an unknown key or an impossible value, naming the nearest known one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(cls, values, error.errors(include_url=False)[0], origin) from None


class Bounds(NamedTuple):
    """What a number of a config may be."""

    lowest: int | float | None
    highest: int | float | None
    above: bool = False
    """Whether it must be above `lowest`, not equal to it."""
    below: bool = False
    """Whether it must be below `highest`, not equal to it."""

    def __str__(self) -> str:
        lowest, highest = _number(self.lowest), _number(self.highest)
        if not (self.above or self.below):
            return f"from {lowest} to {highest}"
        first, last = "above" if self.above else "at least", "below" if self.below else "at most"
        return f"{first} {lowest} and {last} {highest}"


def bounds_of(field: FieldInfo) -> list[Bounds]:
    """Of each kind of number that a field takes: none where it takes no numbers.

    A bound that is not there is None; every number of every config shall have two (tests/test_config.py).
    """
    return _bounds(field.annotation, field.metadata)


def _bounds(annotation: object, metadata: list[Any]) -> list[Bounds]:
    if annotation in (int, float):
        # Bounds stand at the field or in an Annotated inside of it (`Seed`); both come down to here.
        found = {name: getattr(one, name) for one in metadata for name in _SIDES if hasattr(one, name)}
        lowest, highest = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
        return [Bounds(lowest, highest, above="gt" in found, below="lt" in found)]
    inner = [one for said in getattr(annotation, "__metadata__", ()) for one in getattr(said, "metadata", ())]
    parts = get_args(annotation)[:1] if hasattr(annotation, "__metadata__") else get_args(annotation)
    return [bounds for part in parts for bounds in _bounds(part, [*metadata, *inner])]


_SIDES = ("ge", "gt", "le", "lt")


def _number(value: int | float | None) -> str:
    """As people write it."""
    if isinstance(value, int) or value is None:
        return str(value) if value is None or abs(value) < 10_000 else f"{value:,}"
    return f"{value:g}"


class _Short(reprlib.Repr):
    """A value as Python writes it, cut short."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlevel = self.maxdict = self.maxlist = self.maxtuple = 3

    def repr_int(self, x: int, level: int) -> str:
        """Past 4,300 digits Python refuses to write it."""
        return repr(x) if abs(x) < 10**40 else "a number of more than 40 digits"


_short = _Short()


def shown(value: object) -> str:
    """A value as Python writes it, on one line and not at length: it may have a million digits."""
    written = _short.repr(value)
    return written if written.isprintable() else ascii(written)


def printable(name: str) -> str:
    """A name of a key or a file as it is, where it is short and on one line; else as `shown`."""
    return name if name.isprintable() and len(name) <= 200 else shown(name)


def nearest(word: object, known: list[str]) -> str:
    """A sentence that helps someone who wrote `word` where one of `known` was meant."""
    # Comparing takes time by the square of the length, and a key may be as long as anybody likes.
    written = word[:80] if isinstance(word, str) else shown(word)
    close = difflib.get_close_matches(written.lower(), known, n=1, cutoff=0.5)
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
    path = [*map(printable, map(str, error["loc"]))]
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
            f"unknown {dotted}.kind {shown(kind)} in {origin}",
            why="no such kind exists",
            fix=nearest(kind, known),
        )
    if error["type"] == "union_tag_not_found":
        return RecipeError(
            f"{dotted}.kind is missing in {origin}",
            why="the other keys of the section depend on it",
            fix=f"add a kind to the section [{dotted}]",
        )
    if error["type"] == "literal_error":
        # pydantic has the values only in a sentence: "'a', 'b' or 'c'".
        known = [word.strip(" '") for word in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return RecipeError(
            f"{dotted} is {shown(error['input'])} in {origin}",
            why="that is not one of the values it can have",
            fix=nearest(error["input"], known),
        )
    if error["type"] == "missing":
        return RecipeError(
            f"{dotted} is missing in {origin}", why="it has no default", fix=f"give {dotted} a value"
        )
    # Our validators say why and fix in one text with an arrow, as pydantic keeps a text alone.
    what, _, fix = error["msg"].removeprefix("Value error, ").partition(" -> ")
    whole_section = isinstance(error["input"], Mapping) and error["type"] == "value_error"
    if whole_section:
        subject = f"[{dotted}] does not fit together" if dotted else "it does not fit together"
    else:
        subject = f"{dotted} cannot be {shown(error['input'])}"
        fix = fix or _within_bounds(config, error)
    return RecipeError(
        f"{subject} in {origin}",
        why=what[0].lower() + what[1:],
        fix=fix or f"change {dotted}",
    )


def _within_bounds(config: type[Config], error: ErrorDetails) -> str:
    """Which numbers there may be, where one is out of bounds or no number."""
    bounds = [one for one in _bounds_at([config], list(error["loc"])) if None not in one and one[0] != one[1]]
    return f"give a number {bounds[0]}" if bounds else ""


def _bounds_at(configs: list[type[Config]], path: list[int | str]) -> list[Bounds]:
    """The bounds of what is found by following `path` through these configs, tags of unions included."""
    if not path or not configs:
        return []
    first, *rest = path
    fields = [config.model_fields[first] for config in configs if first in config.model_fields]
    if not fields:  # a tag
        chosen = [one for one in configs if first in get_args(one.model_fields["kind"].annotation)]
        return _bounds_at(chosen, rest)
    inner = [one for field in fields for one in _configs_in(field.annotation)]
    if inner:
        return _bounds_at(inner, rest)
    return [one for field in fields for one in bounds_of(field)]


def _drop_tags(path: list[str], values: object) -> list[str]:
    """Pydantic adds the kind chosen to the path of an error inside a union; a reader does not write it."""
    # A tag is told from a key by what was given: a mapping has no such key, and is of that kind.
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
