from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from atonce.config import Config, differences, nearest
from atonce.errors import RecipeError

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
