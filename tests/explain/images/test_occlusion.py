from collections.abc import Callable

import numpy as np
import pytest

from atonce.decoding.classifier import Classifier
from atonce.errors import DataError
from atonce.explain.images.occlusion import cell_of, log_probabilities, occlusion
from atonce.explain.images.reading import grid_of

Classifiers = Callable[..., Classifier]
IMAGES = {
    "whole": {"kind": "whole"},
    "columns": {"kind": "columns"},
    "patches": {"kind": "patches", "size": 4},
    "convolution": {"kind": "convolution", "channels": [3]},
}
every_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


@every_image
def test_a_fall_is_the_difference_that_covering_makes(
    classifier_of: Classifiers, picture: np.ndarray, image: dict[str, object]
) -> None:
    classifier = classifier_of(image=image, encoder={"kind": "feedforward", "feed_forward": 8})
    found = occlusion(classifier, picture, "bee", (2, 3))
    assert found.falls.shape == (3, 6)
    for (row, column), fall in np.ndenumerate(found.falls):
        covered = picture.copy()
        covered[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] = 0
        whole, without = (
            np.log(classifier.classify([one])[0].probabilities["bee"]) for one in (picture, covered)
        )
        assert fall == pytest.approx(whole - without, abs=1e-5)


def test_paper_that_is_covered_changes_nothing(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image={"kind": "patches", "size": 4}, encoder={"kind": "gru"})
    falls = occlusion(classifier, picture, "ant", (1, 1)).falls
    assert (falls[picture == 0] == 0).all()
    assert (falls[picture > 0] != 0).any()
    assert not occlusion(classifier, np.zeros_like(picture), "ant", (2, 2)).falls.any()


def test_a_label_that_gains_takes_from_the_others(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image={"kind": "whole"}, encoder={"kind": "feedforward", "feed_forward": 8})
    by_label = [occlusion(classifier, picture, label, (3, 8)).falls for label in ("ant", "bee", "cat")]
    ink = by_label[0] != 0
    assert (np.min(by_label, axis=0)[ink] < 0).all()
    assert (np.max(by_label, axis=0)[ink] > 0).all()


def test_an_unknown_label(classifier_of: Classifiers, picture: np.ndarray) -> None:
    classifier = classifier_of(image={"kind": "whole"}, encoder={"kind": "feedforward"})
    with pytest.raises(DataError, match=r"'dog' is no label[\s\S]*ant, bee, cat"):
        occlusion(classifier, picture, "dog", (2, 2))


@pytest.mark.parametrize(
    ("image", "cell"),
    [
        (IMAGES["whole"], (1, 2)),
        (IMAGES["columns"], (1, 2)),
        (IMAGES["patches"], (1, 2)),  # 2 × 4 squares are too few
        ({"kind": "patches", "size": 1}, (1, 1)),
    ],
)
def test_the_models_own_cells_are_covered_unless_they_are_few(
    classifier_of: Classifiers, image: dict[str, object], cell: tuple[int, int]
) -> None:
    classifier = classifier_of(image=image, encoder={"kind": "feedforward"})
    assert cell_of(grid_of(classifier.model.source)) == cell


def test_log_probabilities_are_those_of_the_classifier(
    classifier_of: Classifiers, picture: np.ndarray
) -> None:
    classifier = classifier_of(image=IMAGES["patches"], encoder={"kind": "gru"})
    images = [picture, picture[:, ::-1].copy(), np.zeros_like(picture)] * 50  # more than one batch
    found = log_probabilities(classifier, images).exp().numpy()
    for row, one in zip(found, classifier.classify(images), strict=True):
        np.testing.assert_allclose(
            row, [one.probabilities[name] for name in classifier.labels.names], rtol=1e-4
        )
