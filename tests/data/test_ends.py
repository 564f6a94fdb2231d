from pathlib import Path

import pytest

from atonce.data.ends import Ends
from atonce.data.images import ImageShape
from atonce.data.labels import Labels
from atonce.data.tokenizer import Tokenizer
from atonce.errors import RunError

LABELS, IMAGE = Labels(["yes", "no"]), ImageShape(3, 4)


def test_what_is_saved_is_opened(tmp_path: Path, dates_tokenizer: Tokenizer) -> None:
    text = dates_tokenizer
    for number, ends in enumerate(
        [Ends(text, text), Ends(text, LABELS), Ends(IMAGE, text), Ends(IMAGE, LABELS)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        ends.save(folder)
        opened = Ends.open(folder)
        assert (type(opened.source), type(opened.target)) == (type(ends.source), type(ends.target))
        if isinstance(ends.source, ImageShape):
            assert opened.source == IMAGE
        if isinstance(opened.target, Labels):
            assert opened.target.names == LABELS.names
        if number < 3:
            assert opened.tokenizer.encode("3 May") == text.encode("3 May")


def test_two_texts_share_a_tokenizer(tmp_path: Path, dates_tokenizer: Tokenizer) -> None:
    Ends(dates_tokenizer, dates_tokenizer).save(tmp_path)
    opened = Ends.open(tmp_path)
    assert opened.source is opened.target is opened.tokenizer


def test_without_text_there_is_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="neither end"):
        _ = Ends(IMAGE, LABELS).tokenizer


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        Ends.open(tmp_path)
