from collections.abc import Callable

import numpy as np
import pytest

from atonce.decoding.classifier import Classifier
from atonce.errors import DataError, RecipeError
from atonce.explain.images.classification import classification_heatmap
from atonce.explain.images.reading import RECEIVED_RULE

Classifiers = Callable[..., Classifier]
PATCHES = {"kind": "patches", "size": 4}
SELF_ATTENTION = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 8}
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
