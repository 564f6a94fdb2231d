import subprocess
import zipfile
from collections import Counter
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from atonce.data.config import DigitsConfig, DigitStringsConfig
from atonce.data.corpora import digits
from atonce.data.corpora.digits import DIGIT, compose, cut_by_hash, open_digit_strings, open_digits
from atonce.data.images import Images
from atonce.errors import DataError, RecipeError


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


@pytest.fixture
def real() -> Path:
    """The file, wherever it is; asked for before the cache is emptied."""
    return digits.find_digits()


@pytest.fixture
def nothing_at_hand(real: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """No scikit-learn, an empty cache, and a pip that fetches a small wheel, or fails as told."""
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"sklearn/datasets/data/{digits.FILE}", real.read_bytes())
    monkeypatch.setattr(digits, "WHEEL_SHA256", sha256(made.getvalue()).hexdigest())
    state = SimpleNamespace(real=real, calls=0, stderr="")

    def run(command: list[str], **_: object) -> SimpleNamespace:
        state.calls += 1
        if not state.stderr:
            (Path(command[command.index("-d") + 1]) / digits.WHEEL).write_bytes(made.getvalue())
        return SimpleNamespace(returncode=1 if state.stderr else 0, stderr=state.stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return state


def test_without_scikit_learn_they_are_downloaded_once(nothing_at_hand: SimpleNamespace, cache: Path) -> None:
    corpus = open_digits(DigitsConfig())
    assert len(corpus.train.targets) == 1439
    assert digits.find_digits() == cache / digits.FILE
    assert nothing_at_hand.calls == 1
    assert [path.name for path in cache.iterdir()] == [digits.FILE], "the wheel is not kept"


def test_a_failed_download_says_what_works_without(nothing_at_hand: SimpleNamespace, cache: Path) -> None:
    nothing_at_hand.stderr = "ERROR: no network\n"
    with pytest.raises(DataError, match="the download of the handwritten digits") as caught:
        open_digits(DigitsConfig())
    assert "$ATONCE_DATA" in caught.value.fix
    assert list(cache.iterdir()) == []


def test_another_file_is_not_taken(nothing_at_hand: SimpleNamespace, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / digits.FILE).write_bytes(b"half of it")
    assert digits.find_digits().read_bytes() == nothing_at_hand.real.read_bytes()


def test_atonce_data_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_DATA", str(tmp_path))
    (tmp_path / digits.FILE).write_bytes(b"other digits")
    with pytest.raises(DataError, match="is not the file it should be"):
        open_digits(DigitsConfig())


def test_they_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    theirs = datasets.load_digits()
    ours = digits.read_digits()
    assert np.array_equal(ours.pixels, np.rint(theirs.images * (255 / 16)).astype(np.uint8))
    assert ours.targets == tuple(map(str, theirs.target.tolist()))


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
