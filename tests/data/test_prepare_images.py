import json
from pathlib import Path

import numpy as np
import pytest

from atonce.data.config import DigitsConfig, DigitStringsConfig, VocabularyConfig
from atonce.data.corpora.digits import open_digits
from atonce.data.images import ImageExamples
from atonce.data.labels import Labels
from atonce.data.prepare import Prepared, open_prepared, prepare
from atonce.errors import RunError

STRINGS = DigitStringsConfig(images=120, valid_size=10, test_size=12)
CHARACTERS = VocabularyConfig(kind="characters", size=300)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    folder = tmp_path_factory.mktemp("digits")
    return folder, prepare(DigitsConfig(), CHARACTERS, folder)


def test_labels_are_stored_by_number_and_pixels_as_they_are(digits: tuple[Path, Prepared]) -> None:
    _, prepared = digits
    corpus = open_digits(DigitsConfig())
    labels = prepared.io_spec.target
    assert isinstance(labels, Labels)
    assert labels.names == tuple("0123456789")
    assert isinstance(prepared.train, ImageExamples)
    assert np.array_equal(prepared.train.pixels, corpus.train.pixels)
    stored = [labels.names[prepared.train.targets[index][1][0]] for index in range(len(prepared.train))]
    assert tuple(stored) == corpus.train.targets
    assert [pair.target for pair in prepared.test_pairs] == list(corpus.test.targets)
    assert np.array_equal(prepared.test_pairs[7].source, corpus.test.pixels[7])
    assert prepared.report["train_pairs"] == 1439
    assert prepared.train.target_lengths.tolist() == [1] * 1439


def test_what_is_opened_again_is_the_same(digits: tuple[Path, Prepared]) -> None:
    folder, prepared = digits
    again = open_prepared(folder)
    assert again.report == prepared.report == json.loads((folder / "data.json").read_text())
    assert [pair.target for pair in again.valid_pairs] == [pair.target for pair in prepared.valid_pairs]
    assert not (folder / "tokenizer.model").exists(), "no end of it is text"


def test_texts_of_images_are_spelt_with_an_end(tmp_path: Path) -> None:
    prepared = prepare(STRINGS, CHARACTERS, tmp_path)
    tokenizer = prepared.tokenizer
    assert isinstance(prepared.train, ImageExamples)
    assert len(prepared.train) == 120
    for index, pair in enumerate(prepared.valid_pairs):
        assert isinstance(prepared.valid, ImageExamples)
        assert prepared.valid.targets[index][1].tolist() == [*tokenizer.encode(pair.target), tokenizer.eos]
        assert 3 <= len(pair.target) <= 8


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    prepare(STRINGS, CHARACTERS, tmp_path)
    (tmp_path / "examples" / "test" / "pixels.npy").unlink()
    with pytest.raises(RunError, match="damaged"):
        open_prepared(tmp_path)
