from pathlib import Path

import pytest

from atonce.data.labels import Labels
from atonce.errors import DataError, RunError


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
