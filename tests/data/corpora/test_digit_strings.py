import numpy as np
import pytest

from atonce.data.config import DigitsConfig, DigitStringsConfig
from atonce.data.corpora.digit_strings import DIGIT, compose, open_digit_strings
from atonce.data.corpora.digits import open_digits
from atonce.errors import RecipeError


def test_strings_are_as_long_as_asked_and_a_function_of_the_seed() -> None:
    config = DigitStringsConfig(images=100, valid_size=20, test_size=30, shortest=2, longest=4)
    corpus, again = open_digit_strings(config), open_digit_strings(config)
    assert [len(side.targets) for side in (corpus.train, corpus.valid, corpus.test)] == [100, 20, 30]
    assert {len(target) for target in corpus.train.targets} == {2, 3, 4}
    assert np.array_equal(corpus.train.pixels, again.train.pixels)
    assert corpus.test.targets == again.test.targets
    other = open_digit_strings(config.model_copy(update={"seed": 2}))
    assert other.train.targets != corpus.train.targets


def test_every_digit_stands_whole_in_the_image_in_the_order_of_the_text() -> None:
    digits = open_digits(DigitsConfig()).test
    composed = compose(digits, 50, 3, 8, np.random.default_rng(4))
    known = {(one.tobytes(), target) for one, target in zip(digits.pixels, digits.targets, strict=True)}
    for image, target in zip(composed.pixels, composed.targets, strict=True):
        column = 0
        for character in target:
            column = next(
                start + DIGIT
                for start in range(column, image.shape[1] - DIGIT + 1)
                for row in range(image.shape[0] - DIGIT + 1)
                if (image[row : row + DIGIT, start : start + DIGIT].tobytes(), character) in known
            )


def test_the_shortest_is_no_longer_than_the_longest() -> None:
    with pytest.raises(RecipeError, match="shortest string has 5 digits and the longest 4"):
        DigitStringsConfig.parse({"shortest": 5, "longest": 4}, origin="a test")
