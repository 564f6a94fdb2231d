"""The width that is found gives the weights that were asked for, and changes nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.errors import RecipeError
from atonce.models.architectures import ARCHITECTURES, architecture
from atonce.models.build import build_model
from atonce.models.config import ModelConfig, RecurrentDecoderConfig, TransformerEncoderConfig
from atonce.models.size_matching import TOLERANCE, weight_count, with_weights, with_width


@pytest.mark.parametrize("known", ARCHITECTURES, ids=lambda known: known.name)
def test_the_count_is_that_of_the_model_that_is_built(known) -> None:
    narrow = with_width(known.model, 16)
    assert weight_count(narrow, 50) == build_model(narrow, 50).weight_count


def test_counting_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    weight_count(ModelConfig(), 100)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("known", ARCHITECTURES, ids=lambda known: known.name)
def test_every_family_comes_within_five_per_cent(known) -> None:
    found = with_weights(known.model, 1_000_000, 4000)
    assert weight_count(found, 4000) == pytest.approx(1_000_000, rel=TOLERANCE)


SMALL = ModelConfig.model_validate({"encoder": {"layers": 1}, "decoder": {"layers": 1}})


@settings(max_examples=5)
@given(wanted=st.integers(min_value=400_000, max_value=5_000_000))
def test_no_other_width_is_nearer(wanted: int) -> None:
    found = with_weights(SMALL, wanted, 2000)
    away = abs(weight_count(found, 2000) - wanted)
    for dim in (found.dim - 4, found.dim + 4):  # four heads
        assert abs(weight_count(with_width(SMALL, dim), 2000) - wanted) >= away


def test_a_model_that_has_them_already_stays_as_it_is() -> None:
    model = architecture("transformer").model
    assert with_weights(model, weight_count(model, 3000), 3000) == model


def test_only_the_widths_change_and_hidden_layers_grow_along() -> None:
    model = ModelConfig(
        encoder=TransformerEncoderConfig(heads=8, positions="rotary", layers=2, feed_forward=300),
        decoder=RecurrentDecoderConfig(kind="gru", attention="dot", dropout=0.3),
    )
    found = with_weights(model, 3_000_000, 1000)
    assert found.dim % 16 == 0  # eight heads, each of an even width
    assert found.decoder == model.decoder
    assert isinstance(found.encoder, TransformerEncoderConfig)
    assert found.encoder.feed_forward == round(300 * found.dim / model.dim)
    assert with_width(found, model.dim).model_dump() == model.model_dump()


def test_what_no_width_can_give_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no width gives a transformer encoder[\s\S]*the nearest is"):
        with_weights(ModelConfig(), 1000, 1000)
