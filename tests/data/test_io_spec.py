from pathlib import Path

import pytest

from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec
from atonce.data.labels import Labels
from atonce.data.tokenizer import Tokenizer
from atonce.errors import RunError

LABELS, IMAGE = Labels(["yes", "no"]), ImageShape(3, 4)


def test_what_is_saved_is_opened(tmp_path: Path, dates_tokenizer: Tokenizer) -> None:
    text = dates_tokenizer
    for number, io_spec in enumerate(
        [IOSpec(text, text), IOSpec(text, LABELS), IOSpec(IMAGE, text), IOSpec(IMAGE, LABELS)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        io_spec.save(folder)
        opened = IOSpec.open(folder)
        assert (type(opened.source), type(opened.target)) == (type(io_spec.source), type(io_spec.target))
        if isinstance(io_spec.source, ImageShape):
            assert opened.source == IMAGE
        if isinstance(opened.target, Labels):
            assert opened.target.names == LABELS.names
        if number < 3:
            assert opened.tokenizer.encode("3 May") == text.encode("3 May")


def test_two_texts_share_a_tokenizer(tmp_path: Path, dates_tokenizer: Tokenizer) -> None:
    IOSpec(dates_tokenizer, dates_tokenizer).save(tmp_path)
    opened = IOSpec.open(tmp_path)
    assert opened.source is opened.target is opened.tokenizer


def test_without_text_there_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="neither end"):
        _ = IOSpec(IMAGE, LABELS).tokenizer


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        IOSpec.open(tmp_path)
