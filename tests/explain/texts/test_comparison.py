import numpy as np
import pytest

import tiny
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.explain.texts.comparison import DIFFERENCE_RULE, compare_heatmap
from atonce.explain.texts.translation import attention_maps, attention_of
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.runs.recipe import DecodingConfig

TEXT = "Monday, 3 May 1999"


def translator(tokenizer, model: dict, name: str) -> Translator:
    built = build_model(ModelConfig.parse(model, origin="a test"), tokenizer.size).eval()
    return Translator(built, tokenizer, DecodingConfig(beam=2, max_length_ratio=0.2), name=name)


def test_the_third_map_is_the_difference_of_the_others(dates_tokenizer) -> None:
    one = translator(dates_tokenizer, tiny.TRANSFORMER, "one")
    other = translator(dates_tokenizer, tiny.GRU, "other")
    found = compare_heatmap(one, other, TEXT, target="1999-05-03")
    first, second, difference = found.maps
    assert (first.title, second.title) == ("one", "other")
    assert difference.signed
    assert difference.rule == DIFFERENCE_RULE
    np.testing.assert_allclose(difference.weights, first.weights - second.weights)
    np.testing.assert_allclose(difference.weights.sum(1), 0, atol=1e-5)
    np.testing.assert_array_equal(
        second.weights, attention_maps(attention_of(other, TEXT, "1999-05-03"))[0].weights
    )
    drawn = [panel["layer"][0]["encoding"]["color"] for panel in found.chart().to_dict()["concat"]]
    colours = drawn[2]["scale"]
    assert colours["interpolate"] == "lab"  # by way of hues there would be pink between blue and brown
    # Beside three panels there is no room for two keys; the second map has that of the first.
    assert [one["legend"] and one["legend"]["orient"] for one in drawn] == ["bottom", None, "bottom"]
    assert colours["domain"] == sorted(colours["domain"])
    assert colours["domain"][0] == -1
    assert len(colours["domain"]) == len(colours["range"])


def test_the_output_is_that_of_the_first(dates_tokenizer) -> None:
    one = translator(dates_tokenizer, tiny.TRANSFORMER, "one")
    other = translator(dates_tokenizer, tiny.GRU, "other")
    assert compare_heatmap(one, other, TEXT).output == one.translate([TEXT])[0].text


def test_a_model_without_attention_cannot_be_compared(dates_tokenizer) -> None:
    blind = {**tiny.GRU, "decoder": {"kind": "gru", "attention": "none"}}
    one = translator(dates_tokenizer, tiny.TRANSFORMER, "one")
    with pytest.raises(RunError):
        compare_heatmap(one, translator(dates_tokenizer, blind, "other"), TEXT)
