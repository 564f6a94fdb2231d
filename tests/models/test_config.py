"""What cannot be is refused before anything is built, with what to do instead."""

from typing import Any

import pytest

from atonce.errors import RecipeError
from atonce.models.config import ModelConfig
from atonce.runs.recipe import Recipe, load


@pytest.mark.parametrize(
    ("values", "why", "fix"),
    [
        ({"encoder": {"kind": "convolution", "kernel": 2}}, "has no middle", "such as 3"),
        ({"image": {"kind": "convolution", "kernel": 4}}, "has no middle", "such as 5"),
        ({"encoder": {"key_value_heads": 3}}, "cannot share 3 heads", "divides 4"),
        ({"dim": 130}, "does not split into 4 heads of equal width", "such as 128"),
        (
            {"dim": 132, "encoder": {"positions": "rotary"}},
            "equal and even width, which rotary positions need",
            "multiple of 8",
        ),
        ({"dim": 130, "decoder": {"kind": "ssru"}}, "does not split into 4 heads", "such as 128"),
    ],
)
def test_a_model_that_does_not_fit_together(values: dict[str, Any], why: str, fix: str) -> None:
    with pytest.raises(RecipeError) as error:
        ModelConfig.parse(values, origin="a test")
    assert why in error.value.why
    assert fix in error.value.fix


@pytest.mark.parametrize(
    ("recipe", "override", "fix"),
    [
        ("digits", "model.decoder.kind=transformer", 'give model.decoder.kind the value "classifier"'),
        ("dates", "model.decoder.kind=classifier", "choose another decoder"),
        ("dates", "model.image.kind=patches", "leave the section [model.image] out"),
    ],
)
def test_a_model_that_is_not_for_the_task(recipe: str, override: str, fix: str) -> None:
    cleared = ["model.decoder={}"] if recipe == "digits" else []
    with pytest.raises(RecipeError) as error:
        load(recipe, [*cleared, override])
    assert fix in error.value.fix


def test_an_architecture_takes_the_place_of_the_recipes_own() -> None:
    own, other = load("dates"), load("dates", ["model.decoder.layers=2"], model="transformer-ssru")
    assert other.model.decoder.kind == "ssru"
    assert other.model.decoder.layers == 2
    assert other.training == own.training
    with pytest.raises(RecipeError, match="no architecture is called 'transformers'"):
        load("dates", model="transformers")


def test_a_recipe_is_what_it_is_stored_as() -> None:
    for name in ("fashion-mnist-transformer", "digit-strings", "debian-synopsis"):
        recipe = load(name)
        assert Recipe.parse(recipe.model_dump(mode="json", exclude_none=True), origin="a test") == recipe
