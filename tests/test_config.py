from contextlib import suppress
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from atonce.config import Config, bounds_of, differences, nearest
from atonce.errors import RecipeError
from atonce.runs.recipe import Recipe

UNKNOWN = "unknown key '{}' in FILE, section [part]"


class Small(Config):
    kind: Literal["small"] = "small"
    size: int = Field(default=1, ge=1)


class Large(Config):
    kind: Literal["large", "huge"] = "large"
    width: int = 10


class Whole(Config):
    part: Annotated[Small | Large, Field(discriminator="kind")] = Small()
    name: str = ""
    share: float = 0.5

    @model_validator(mode="after")
    def _together(self) -> "Whole":
        if self.name == "bad":
            raise ValueError("That name cannot be -> take another")
        return self


def said(values: dict[str, object]) -> tuple[str, str, str]:
    with pytest.raises(RecipeError) as caught:
        Whole.parse(values, origin="FILE")
    return caught.value.what, caught.value.why, caught.value.fix


def test_defaults_are_filled_in() -> None:
    assert Whole.parse({"part": {"kind": "huge"}}, origin="FILE").part == Large(kind="huge", width=10)


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Whole().name = "other"


@pytest.mark.parametrize(
    ("values", "what", "fix"),
    [
        ({"nane": 1}, "unknown key 'nane' in FILE", "did you mean 'name'?"),
        ({"zzz": 1}, "unknown key 'zzz' in FILE", "known here: part, name, share"),
        ({"part": {"kind": "small", "sise": 1}}, UNKNOWN.format("sise"), "did you mean 'size'?"),
        ({"part": {"kind": "huge", "size": 1}}, UNKNOWN.format("size"), "known here: kind, width"),
        ({"part": {"kind": "smal"}}, "unknown part.kind 'smal' in FILE", "did you mean 'small'?"),
        ({"part": {"size": 3}}, "part.kind is missing in FILE", "add a kind to the section [part]"),
        ({"part": {"kind": "small", "size": 0}}, "part.size cannot be 0 in FILE", "change part.size"),
        ({"name": []}, "name cannot be [] in FILE", "change name"),
        ({"share": float("inf")}, "share cannot be inf in FILE", "change share"),
    ],
)  # fmt: skip
def test_what_it_says(values: dict[str, object], what: str, fix: str) -> None:
    assert (said(values)[0], said(values)[2]) == (what, fix)


def test_a_validator_says_why_and_what_to_do() -> None:
    assert said({"name": "bad"}) == (
        "it does not fit together in FILE",
        "that name cannot be",
        "take another",
    )


def test_nearest() -> None:
    assert nearest("Stepps", ["steps", "minutes"]) == "did you mean 'steps'?"
    assert nearest(3, ["steps", "minutes"]) == "known here: steps, minutes"


def test_differences() -> None:
    one, other = Whole(name="a"), Whole(name="b", part=Small(size=2))
    assert differences(one, one) == []
    assert differences(one, other) == ["part.size (1 before, 2 now)", "name (a before, b now)"]
    assert differences(one, Whole(name="a", part=Large())) == ["part.kind"]


def every_config() -> list[type[Config]]:
    """Those of atonce itself."""
    with suppress(ImportError):  # without the serve extra there are no limits of a server
        import atonce.serve.limits
    import atonce.studies.comparison.compare  # noqa: F401 (they are known when they are imported)

    found, pending = [], [Config]
    while pending:
        pending += (inner := pending.pop().__subclasses__())
        found += [one for one in inner if one.__module__.startswith("atonce.")]
    return found


def test_every_number_of_every_config_has_bounds() -> None:
    configs = every_config()
    assert {"Recipe", "TrainingConfig", "PatchesConfig", "Plan"} <= {config.__name__ for config in configs}
    boundless = [
        f"{config.__name__}.{key}"
        for config in configs
        for key, field in config.model_fields.items()
        for bounds in bounds_of(field)
        if None in bounds
    ]
    assert not boundless


def test_bounds_are_found_wherever_they_are_given() -> None:
    class Bounded(Config):
        plain: int = Field(default=1, ge=1, le=10_000)
        open: float = Field(default=0.5, gt=0, lt=1)
        half: Annotated[float, Field(ge=0, lt=1)] = 0
        none: int | None = Field(default=None, ge=2, le=3)
        many: tuple[Annotated[int, Field(ge=1, le=4)], ...] = ()
        missing: int = 3
        text: str = ""

    said = {key: [*map(str, bounds_of(field))] for key, field in Bounded.model_fields.items()}
    assert said == {
        "plain": ["from 1 to 10,000"],
        "open": ["above 0 and below 1"],
        "half": ["at least 0 and below 1"],
        "none": ["from 2 to 3"],
        "many": ["from 1 to 4"],
        "missing": ["from None to None"],
        "text": [],
    }


ODD = {
    "number": 10**5000,
    "text": "x" * 10**6,
    "deep": [[[[[[1]]]]]],
    "lines": "a\nb",
    "number in a list": [10**5000],
    "half a character": "\ud800",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_whatever_the_value_is_three_lines_say_it(value: object) -> None:
    with pytest.raises(RecipeError) as caught:
        Whole.parse({"share": value}, origin="FILE")
    assert len(str(caught.value).splitlines()) == 3
    assert len(str(caught.value)) < 500


def test_out_of_bounds_names_the_bounds() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({"data": {"kind": "dates"}, "model": {"encoder": {"layers": 0}}}, origin="FILE")
    assert caught.value.what == "model.encoder.layers cannot be 0 in FILE"
    assert caught.value.fix == "give a number from 1 to 1000"
