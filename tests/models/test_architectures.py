import pytest

from atonce.errors import RecipeError
from atonce.models.architectures import ARCHITECTURES, architecture
from atonce.models.build import build_model
from atonce.models.config import RecurrentDecoderConfig
from atonce.models.size_matching import weight_count
from atonce.runs.recipe import load, names


@pytest.mark.parametrize("known", ARCHITECTURES, ids=lambda known: known.name)
def test_a_name_finds_its_architecture_and_it_can_be_built(known) -> None:
    assert architecture(known.name) is known
    assert build_model(known.model, 300).weight_count > 100_000


def test_names_titles_and_labels_are_each_ones_own() -> None:
    for of in ("name", "title", "label"):
        assert len({getattr(known, of) for known in ARCHITECTURES}) == len(ARCHITECTURES)


def test_the_architectures_are_of_like_size() -> None:
    """So that each is worth training by its name alone."""
    sizes = [weight_count(known.model, 8000) for known in ARCHITECTURES]
    assert max(sizes) < 1.5 * min(sizes)


def test_only_those_said_to_be_without_it_have_no_attention_to_the_source() -> None:
    for known in ARCHITECTURES:
        lacks = isinstance(known.model.decoder, RecurrentDecoderConfig) and (
            known.model.decoder.attention == "none"
        )
        assert lacks == ("without attention" in known.title) == known.name.startswith("seq2seq")


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(RecipeError, match=r"'transfomer'[\s\S]*did you mean 'transformer'"):
        architecture("transfomer")


@pytest.mark.parametrize("name", names())
def test_the_model_of_every_recipe_can_be_built(name: str) -> None:
    build_model(load(name).model, 300)
