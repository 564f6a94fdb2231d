from pathlib import Path

import pytest

from atonce.data.images import ImageShape
from atonce.data.io_spec import IOSpec, Labels
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError, RunError

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


def test_a_label_is_its_number_and_back(tmp_path: Path) -> None:
    labels = Labels(["dress", "bag", "ankle boot"])
    labels.save(tmp_path / "labels.json")
    again = Labels.open(tmp_path / "labels.json")
    assert again.names == ("dress", "bag", "ankle boot")
    assert [again.number(name) for name in again.names] == [0, 1, 2]
    assert len(again) == 3


def test_an_unknown_label_is_named_with_those_there_are() -> None:
    with pytest.raises(DataError, match=r"'hat' is no label(.|\n)*dress, bag"):
        Labels(["dress", "bag"]).number("hat")


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"]])
def test_without_two_labels_there_is_no_choice(names: list[str]) -> None:
    with pytest.raises(DataError, match="nothing to choose"):
        Labels(names)


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '["one"]', None])
def test_a_damaged_file_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "labels.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match="is damaged"):
        Labels.open(path)
