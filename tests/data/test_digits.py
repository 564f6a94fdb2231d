import sys
from collections import Counter

import numpy as np
import pytest

from atonce.data.config import DigitsConfig
from atonce.data.digits import cut_by_hash, open_digits
from atonce.data.images import Images
from atonce.errors import DataError


def test_all_digits_are_there_and_none_on_two_sides() -> None:
    corpus = open_digits(DigitsConfig())
    sides = [corpus.train, corpus.valid, corpus.test]
    assert [len(side.targets) for side in sides] == [1439, 179, 179]
    assert all(side.pixels.shape == (len(side.targets), 8, 8) for side in sides)
    assert corpus.train.pixels.max() == 255
    assert set(corpus.train.targets) == set(corpus.test.targets) == set("0123456789")
    texts = [{one.tobytes() for one in side.pixels} for side in sides]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]


def test_equal_images_stay_together_whatever_the_sizes() -> None:
    few = np.random.default_rng(0).integers(0, 2, (60, 2, 2), dtype=np.uint8)  # 16 different ones at most
    images = Images(few, tuple(map(str, range(60))))
    corpus = cut_by_hash(images, valid_size=5, test_size=3, about="")
    sides = [{one.tobytes() for one in side.pixels} for side in (corpus.train, corpus.valid, corpus.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    both = Counter(corpus.train.targets + corpus.valid.targets + corpus.test.targets)
    assert both == Counter(images.targets), "each image is on one side, once"


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install 'atonce\[vision\]'"):
        open_digits(DigitsConfig())
