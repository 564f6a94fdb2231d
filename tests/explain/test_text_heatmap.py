import numpy as np
import pytest
import torch

import tiny
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.translator import Translator
from atonce.errors import RecipeError, RunError
from atonce.explain.recording import AttentionRecord, LayerAttention
from atonce.explain.text_heatmap import (
    DIFFERENCE_RULE,
    TOKENS_RULE,
    TranslationAttention,
    attention_maps,
    attention_of,
    compare_heatmap,
    pharaoh,
    translation_heatmap,
    word_links,
)
from atonce.explain.words import END_OF_SENTENCE, MERGE_RULE, Side, side_of
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.runs.recipe import DecodingConfig
from zoo import config_of, translator_of

TEXT, TARGET = "Mittwoch, 10. Januar 2024", "2024-01-10 und mehr"


@pytest.fixture
def transformer(dates_tokenizer: Tokenizer) -> Translator:
    return translator_of(dates_tokenizer, config_of("pre", "pre"), max_length_ratio=0.5)


@pytest.fixture
def recurrent(dates_tokenizer: Tokenizer) -> Translator:
    return translator_of(dates_tokenizer, config_of("bigru", "gru_additive"), max_length_ratio=0.5)


def test_words_are_shown_and_their_rows_sum_to_one(recurrent: Translator) -> None:
    shown = translation_heatmap(recurrent, TEXT, target=TARGET)
    (one,) = shown.maps
    assert one.columns == ("Mittwoch,", "10.", "Januar", "2024", END_OF_SENTENCE)
    assert one.rows == ("2024", "-01", "-10", "und", "mehr", END_OF_SENTENCE)
    np.testing.assert_allclose(one.weights.sum(1), 1, rtol=1e-5)
    assert (shown.source, shown.output) == (TEXT, TARGET)
    assert shown.model == "model"
    assert (one.title, one.rule) == ("decoder.attention", MERGE_RULE)
    assert (one.row_axis, one.column_axis) == ("output", "source")


def test_tokens_are_shown_as_the_model_saw_them(recurrent: Translator) -> None:
    (one,) = translation_heatmap(recurrent, TEXT, target=TARGET, words=False).maps
    tokenizer = recurrent.tokenizer
    assert one.columns == (*tokenizer.tokens(tokenizer.encode(TEXT)), END_OF_SENTENCE)
    assert one.rows == (*tokenizer.tokens(tokenizer.encode(TARGET)), END_OF_SENTENCE)
    assert one.rule == TOKENS_RULE
    attention = attention_of(recurrent, TEXT, TARGET)
    np.testing.assert_array_equal(
        one.weights, attention.record["decoder.attention"].weights[0, 0].float().numpy()
    )


def test_without_a_target_it_is_the_models_own_translation(recurrent: Translator) -> None:
    shown = translation_heatmap(recurrent, TEXT)
    assert shown.output == recurrent.translate([TEXT])[0].text
    assert shown.to_dict() == translation_heatmap(recurrent, TEXT, target=shown.output).to_dict()


def test_a_model_in_training_stays_in_training(recurrent: Translator) -> None:
    recurrent.model.train()
    shown = translation_heatmap(recurrent, TEXT, target=TARGET)
    assert all(module.training for module in recurrent.model.modules())
    recurrent.model.eval()
    assert shown.to_dict() == translation_heatmap(recurrent, TEXT, target=TARGET).to_dict()
    assert not recurrent.model.training


@pytest.mark.parametrize(("text", "target"), [("", ""), ("mai", ""), ("", "mai"), ("日本 ", " x")])
def test_little_text_can_be_shown_too(transformer: Translator, text: str, target: str) -> None:
    (one,) = translation_heatmap(transformer, text, target=target).maps
    np.testing.assert_allclose(one.weights.sum(1), 1, rtol=1e-5)
    assert one.columns[-1] == one.rows[-1] == END_OF_SENTENCE


def test_a_layer_is_chosen_by_number_name_or_mean(transformer: Translator) -> None:
    def title_and_weights(layer: str | None) -> tuple[str, np.ndarray]:
        (one,) = translation_heatmap(transformer, TEXT, target=TARGET, layer=layer).maps
        return one.title, one.weights

    last, first, named, mean = map(title_and_weights, (None, "1", "decoder.layers.0.cross_attention", "mean"))
    assert last[0] == "decoder.layers.1.cross_attention, mean of 2 heads"
    assert last[0] == title_and_weights("2")[0]
    assert first[0] == named[0] == "decoder.layers.0.cross_attention, mean of 2 heads"
    np.testing.assert_array_equal(first[1], named[1])
    assert not np.allclose(first[1], last[1])
    assert mean[0] == "mean of 2 layers, mean of 2 heads"
    np.testing.assert_allclose(mean[1], (first[1] + last[1]) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "rows", "columns"),
    [
        ("encoder.layers.1.attention", "source", "source"),
        ("decoder.layers.1.attention", "output", "output"),
        ("decoder.layers.1.cross_attention", "output", "source"),
    ],
)
def test_rows_look_and_columns_are_looked_at(
    transformer: Translator, layer: str, rows: str, columns: str
) -> None:
    (one,) = translation_heatmap(transformer, TEXT, target=TARGET, layer=layer).maps
    first = {"source": "Mittwoch,", "output": "2024"}
    assert (one.row_axis, one.column_axis) == (rows, columns)
    assert (one.rows[0], one.columns[0]) == (first[rows], first[columns])
    np.testing.assert_allclose(one.weights.sum(1), 1, rtol=1e-5)


def test_heads_are_chosen_by_number_mean_or_all(transformer: Translator) -> None:
    every = translation_heatmap(transformer, TEXT, target=TARGET, head="all").maps
    assert [one.title for one in every] == [
        f"decoder.layers.1.cross_attention, head {n} of 2" for n in (1, 2)
    ]
    for head, expected in ((1, every[0]), ("2", every[1])):
        (one,) = translation_heatmap(transformer, TEXT, target=TARGET, head=head).maps
        assert one.title == expected.title
        np.testing.assert_array_equal(one.weights, expected.weights)
    (mean,) = translation_heatmap(transformer, TEXT, target=TARGET).maps
    np.testing.assert_allclose(mean.weights, (every[0].weights + every[1].weights) / 2, rtol=1e-5)
    assert not np.allclose(every[0].weights, every[1].weights)


@pytest.mark.parametrize("layer", ["3", "0", "-1", "decoder", "encoder.layers.0.cross_attention"])
def test_an_unknown_layer_is_answered_with_those_there_are(transformer: Translator, layer: str) -> None:
    with pytest.raises(RecipeError) as error:
        translation_heatmap(transformer, TEXT, target=TARGET, layer=layer)
    assert repr(layer) in error.value.what
    assert "from 1 to 2, mean, or one of: encoder.layers.0.attention, " in error.value.fix


@pytest.mark.parametrize("head", [3, 0, -1, "first", "2.0"])
def test_an_unknown_head_is_answered_with_those_there_are(transformer: Translator, head: int | str) -> None:
    with pytest.raises(RecipeError, match=r"has 2 heads[\s\S]*a number from 1 to 2, mean, max or all"):
        translation_heatmap(transformer, TEXT, target=TARGET, head=head)


def test_a_model_without_attention_has_no_heat_map(dates_tokenizer: Tokenizer) -> None:
    with pytest.raises(RunError, match="the model has no attention layer"):
        translation_heatmap(
            translator_of(dates_tokenizer, config_of("bigru", "gru_none")), TEXT, target=TARGET
        )


@pytest.mark.parametrize("layer", [None, "mean", "1"])
def test_where_only_the_encoder_looks_its_layers_are_offered(
    dates_tokenizer: Tokenizer, layer: str | None
) -> None:
    translator = translator_of(dates_tokenizer, config_of("pre", "gru_none"))
    with pytest.raises(RecipeError) as error:
        translation_heatmap(translator, TEXT, target=TARGET, layer=layer)
    assert "encoder.layers.0.attention, encoder.layers.1.attention" in error.value.fix
    (one,) = translation_heatmap(translator, TEXT, target=TARGET, layer="encoder.layers.0.attention").maps
    assert (one.row_axis, one.column_axis) == ("source", "source")


def test_a_heat_map_leaves_the_model_as_it_was(transformer: Translator) -> None:
    before = transformer.translate([TEXT])
    random_state = torch.get_rng_state()
    translation_heatmap(transformer, TEXT)
    assert transformer.translate([TEXT]) == before
    assert torch.equal(torch.get_rng_state(), random_state)


def test_tokens_that_are_left_out_have_no_column(transformer: Translator) -> None:
    whole = attention_of(transformer, TEXT, TARGET)
    last = whole.source.places([3])
    assert [whole.source.tokens[place] for place in last] == transformer.tokenizer.tokens(
        transformer.tokenizer.encode(TEXT)
    )[last[0] :]
    found = attention_of(transformer, TEXT, TARGET, without=last)
    assert found.source.words == (*whole.source.words[:3], END_OF_SENTENCE)
    shorter = attention_of(transformer, "Mittwoch, 10. Januar", TARGET)
    for name, layer in shorter.record.items():
        torch.testing.assert_close(found.record[name].weights, layer.weights)
    own = attention_of(transformer, TEXT, without=last)
    assert own.target == attention_of(transformer, "Mittwoch, 10. Januar").target


def test_places_of_very_many_words_are_found_in_one_go(transformer: Translator) -> None:
    class Words(list[int]):
        def __contains__(self, word: object) -> bool:
            raise AssertionError("all of them are gone through for each token")

    side = side_of(transformer.tokenizer, "1 May 2000")
    assert side.places(Words([1, 1])) == [place for place, word in enumerate(side.word_of_token) if word == 1]


def test_an_output_can_be_forced_token_by_token(transformer: Translator) -> None:
    """As search found it, which need not be how the tokenizer would cut its text."""
    tokenizer = transformer.tokenizer
    spelt = [4 + byte for byte in b"2024 und"]
    assert spelt != tokenizer.encode("2024 und")
    found = attention_of(transformer, TEXT, [*spelt, tokenizer.eos])
    assert found.target.text == "2024 und"
    assert found.target.tokens == (*tokenizer.tokens(spelt), END_OF_SENTENCE)
    assert found.target.words == ("2024", "und", END_OF_SENTENCE)
    cut_off = attention_of(transformer, TEXT, spelt)
    assert cut_off.target.tokens == found.target.tokens[:-1]
    assert cut_off.target.words == ("2024", "und")
    for name, layer in cut_off.record.items():
        with_end = found.record[name].weights.shape[2]
        assert layer.weights.shape[2] == with_end - (layer.role != "encoder-self")
    ids = tokenizer.encode(TARGET)
    assert attention_of(transformer, TEXT, [*ids, tokenizer.eos]).target == side_of(tokenizer, TARGET)


def test_each_output_word_is_linked_to_what_it_looked_at_most() -> None:
    source = Side("ab c", ("a", "b", "c", END_OF_SENTENCE), ("ab", "c", END_OF_SENTENCE), (0, 0, 1, 2))
    target = Side("x y z", ("x", "y", "z", END_OF_SENTENCE), ("x", "y", "z", END_OF_SENTENCE), (0, 1, 2, 3))
    weights = torch.tensor(
        [
            [0.3, 0.3, 0.4, 0.0],  # tokens of a word count together
            [0.1, 0.1, 0.7, 0.1],
            [0.1, 0.1, 0.1, 0.7],  # the end is no word
            [0.9, 0.0, 0.1, 0.0],  # and has no link
        ]
    )
    record = AttentionRecord()
    record._layers["a"] = LayerAttention("a", "cross", weights[None, None])
    links = word_links(TranslationAttention(source, target, record))
    assert links == ((0, 0), (1, 1))
    assert pharaoh(links) == "0-0 1-1"
    assert pharaoh(()) == ""


OTHER_TEXT = "Monday, 3 May 1999"


def translator(tokenizer, model: dict, name: str) -> Translator:
    built = build_model(ModelConfig.parse(model, origin="a test"), tokenizer.size).eval()
    return Translator(built, tokenizer, DecodingConfig(beam=2, max_length_ratio=0.2), name=name)


def test_the_third_map_is_the_difference_of_the_others(dates_tokenizer) -> None:
    one = translator(dates_tokenizer, tiny.TRANSFORMER, "one")
    other = translator(dates_tokenizer, tiny.GRU, "other")
    found = compare_heatmap(one, other, OTHER_TEXT, target="1999-05-03")
    first, second, difference = found.maps
    assert (first.title, second.title) == ("one", "other")
    assert difference.signed
    assert difference.rule == DIFFERENCE_RULE
    np.testing.assert_allclose(difference.weights, first.weights - second.weights)
    np.testing.assert_allclose(difference.weights.sum(1), 0, atol=1e-5)
    np.testing.assert_array_equal(
        second.weights, attention_maps(attention_of(other, OTHER_TEXT, "1999-05-03"))[0].weights
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
    assert compare_heatmap(one, other, OTHER_TEXT).output == one.translate([OTHER_TEXT])[0].text


def test_a_model_without_attention_cannot_be_compared(dates_tokenizer) -> None:
    blind = {**tiny.GRU, "decoder": {"kind": "gru", "attention": "none"}}
    one = translator(dates_tokenizer, tiny.TRANSFORMER, "one")
    with pytest.raises(RunError):
        compare_heatmap(one, translator(dates_tokenizer, blind, "other"), OTHER_TEXT)
