import pytest

from atonce.errors import RecipeError
from atonce.models.build import build_model
from atonce.models.named import ARCHITECTURES, architecture
from atonce.runs.recipe import load, names


@pytest.mark.parametrize("known", ARCHITECTURES, ids=lambda known: known.name)
def test_a_name_finds_its_architecture_and_it_can_be_built(known) -> None:
    assert architecture(known.name) is known
    assert build_model(known.model, 300).weight_count > 100_000


def test_names_titles_and_labels_are_each_ones_own() -> None:
    for of in ("name", "title", "label"):
        assert len({getattr(known, of) for known in ARCHITECTURES}) == len(ARCHITECTURES)


def test_the_architectures_that_are_compared_are_of_like_size() -> None:
    sizes = [build_model(known.model, 8000).weight_count for known in ARCHITECTURES]
    assert max(sizes) < 1.5 * min(sizes)


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(RecipeError, match=r"'transfomer'[\s\S]*did you mean 'transformer'"):
        architecture("transfomer")


@pytest.mark.parametrize("name", names())
def test_the_model_of_every_recipe_can_be_built(name: str) -> None:
    build_model(load(name).model, 300)
