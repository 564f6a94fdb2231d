from collections.abc import Callable

import numpy as np
import pytest
import torch

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.batching import stacked_images
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.errors import DataError, RecipeError, RunError
from atonce.explain.image_attention import READING_RULE, RECEIVED_RULE, steps_of
from atonce.explain.image_heatmap import classification_heatmap, reading_heatmap
from atonce.explain.recording import recorded_attention
from atonce.explain.words import END_OF_SENTENCE

SELF_ATTENTION = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 8}
Readers = Callable[..., ImageReader]


def test_each_character_has_a_map_of_the_weights_of_its_step(reader_of: Readers, picture: np.ndarray) -> None:
    reader = reader_of()
    shown = reading_heatmap(reader, picture, target="407")
    (one,) = shown.attention
    assert one.panels == ("4", "0", "7", END_OF_SENTENCE)
    assert one.weights.shape == (4, 2, 4)  # 6 × 16 pixels in squares of 4
    assert one.cell == (4, 4)
    assert one.rule == READING_RULE
    np.testing.assert_allclose(one.weights.sum((1, 2)), 1, rtol=1e-5)

    tokenizer = reader.tokenizer
    target_in = torch.tensor([[tokenizer.bos, *tokenizer.encode("407")]])
    with torch.inference_mode(), recorded_attention(reader.model) as record:
        reader.model(*stacked_images([picture], reader.device), target_in)
    rows = record["decoder.attention"].weights[0, 0].numpy()
    np.testing.assert_allclose(
        one.weights.reshape(4, -1), rows[1:], rtol=1e-5
    )  # the first step writes nothing


def test_probabilities_are_those_of_the_whole_text(reader_of: Readers, picture: np.ndarray) -> None:
    reader = reader_of()
    read = reader.read_images([picture])[0]
    shown = reading_heatmap(reader, picture)
    assert shown.output == read.text
    assert all(0 < one < 1 for one in shown.attention[0].probabilities)
    assert shown.probability <= np.prod(shown.attention[0].probabilities) * (1 + 1e-6)
    forced = {text: reading_heatmap(reader, picture, target=text) for text in ("1", "12")}
    # What comes first does not know what follows.
    assert forced["1"].attention[0].probabilities[0] == pytest.approx(
        forced["12"].attention[0].probabilities[0], rel=1e-5
    )


def test_layers_and_heads_are_chosen(reader_of: Readers, picture: np.ndarray) -> None:
    reader = reader_of(encoder=SELF_ATTENTION, decoder=SELF_ATTENTION)

    def maps(layer: str | None, head: int | str) -> list[np.ndarray]:
        shown = reading_heatmap(reader, picture, target="42", layer=layer, head=head)
        return [one.weights for one in shown.attention]

    first, second = maps("1", "all")
    np.testing.assert_array_equal(maps("1", 2)[0], second)
    np.testing.assert_allclose(maps("1", "mean")[0], (first + second) / 2, rtol=1e-5)
    assert not np.allclose(maps("1", "mean")[0], maps(None, "mean")[0])
    with pytest.raises(RecipeError, match="there is no attention layer '3'"):
        maps("3", "mean")
    with pytest.raises(RecipeError, match="there is no head 3"):
        maps(None, 3)


def test_self_attention_of_the_encoder_is_what_each_cell_receives(
    reader_of: Readers, picture: np.ndarray
) -> None:
    reader = reader_of(encoder=SELF_ATTENTION)
    shown = reading_heatmap(reader, picture, target="42", layer="encoder.layers.0.attention")
    (one,) = shown.attention
    assert (one.panels, one.rule, one.weights.shape) == (("",), RECEIVED_RULE, (1, 2, 4))
    assert one.weights.sum() == pytest.approx(1, rel=1e-5)


def test_what_looks_at_the_text_cannot_be_laid_over_the_image(
    reader_of: Readers, picture: np.ndarray
) -> None:
    reader = reader_of(decoder=SELF_ATTENTION)
    with pytest.raises(RecipeError, match=r"cannot be drawn over the image[\s\S]*cross_attention"):
        reading_heatmap(reader, picture, layer="decoder.layers.0.attention")


def test_a_reader_without_attention(reader_of: Readers, picture: np.ndarray) -> None:
    with pytest.raises(RunError, match="there is no attention to show"):
        reading_heatmap(reader_of(decoder={"kind": "gru", "attention": "none"}), picture)


def test_steps_are_characters(digits_tokenizer: Tokenizer) -> None:
    def steps(text: str) -> list[tuple[str, list[int]]]:
        return steps_of(text, digits_tokenizer.token_spans(text))

    assert steps("12 3") == [("1", [1]), ("2", [2]), ("‹space›", [3]), ("3", [4]), (END_OF_SENTENCE, [5])]
    assert steps("") == [(END_OF_SENTENCE, [0])]
    ((written, places), _) = steps("é")
    assert (written, len(places)) == ("é", 2)  # two bytes, one character


Classifiers = Callable[..., Classifier]
PATCHES = {"kind": "patches", "size": 4}
BLIND = {"kind": "feedforward", "feed_forward": 8}


def test_the_likeliest_label_with_its_probability(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image=PATCHES, encoder=BLIND)
    found = classifier.classify([picture])[0]
    shown = classification_heatmap(classifier, picture)
    assert (shown.output, shown.attention) == (found.label, ())
    assert shown.probability == pytest.approx(found.probabilities[found.label], rel=1e-5)
    assert shown.occlusion is not None
    assert shown.occlusion.label == found.label
    assert shown.occlusion.falls.any()


def test_another_label_can_be_asked_about(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image=PATCHES, encoder=BLIND)
    by_label = {
        name: classification_heatmap(classifier, picture, target=name) for name in ("ant", "bee", "cat")
    }
    assert [one.output for one in by_label.values()] == list(by_label)
    assert sum(one.probability for one in by_label.values()) == pytest.approx(1, rel=1e-5)
    with pytest.raises(DataError, match="'dog' is no label"):
        classification_heatmap(classifier, picture, target="dog")


def test_attention_is_what_each_cell_receives_from_all(
    classifier_of: Classifiers, picture: np.ndarray
) -> None:
    classifier = classifier_of(image=PATCHES, encoder=SELF_ATTENTION)

    def weights(layer: str | None, head: int | str) -> list[np.ndarray]:
        return [
            one.weights
            for one in classification_heatmap(classifier, picture, layer=layer, head=head).attention
        ]

    (mean,), heads = weights(None, "mean"), weights(None, "all")
    assert mean.shape == (1, 2, 4)
    np.testing.assert_allclose(mean, (heads[0] + heads[1]) / 2, rtol=1e-5)
    np.testing.assert_allclose([one.sum() for one in heads], 1, rtol=1e-5)
    np.testing.assert_array_equal(weights("2", 1)[0], heads[0])
    assert not np.allclose(weights("1", 1)[0], heads[0])
    (shown,) = classification_heatmap(classifier, picture).attention
    assert (shown.title, shown.rule) == ("encoder.layers.1.attention, mean of 2 heads", RECEIVED_RULE)


def test_layers_and_heads_that_are_not_there(classifier_of: Classifiers, picture: np.ndarray) -> None:
    seeing, blind = (classifier_of(image=PATCHES, encoder=one) for one in (SELF_ATTENTION, BLIND))
    with pytest.raises(RecipeError, match="there is no attention layer '3'"):
        classification_heatmap(seeing, picture, layer="3")
    with pytest.raises(RecipeError, match="there is no head 3"):
        classification_heatmap(seeing, picture, head=3)
    with pytest.raises(RecipeError, match="has no attention"):
        classification_heatmap(blind, picture, layer="1")
