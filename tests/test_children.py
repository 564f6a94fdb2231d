import os
import sys
from pathlib import Path

import pytest

import atonce
from atonce.children import environment

HOME = str(Path(atonce.__file__).parents[1])


def folders() -> list[str]:
    return environment()["PYTHONPATH"].split(os.pathsep)


def test_modules_are_found_where_they_are_here_but_for_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, also = str(tmp_path), str(tmp_path / "also")
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", there, str(tmp_path / "link"), "also", also, HOME, "/other"])
    assert folders() == [also, HOME, "/other"]


def test_the_package_is_found_though_it_was_imported_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a checkout: the folder comes last then."""
    monkeypatch.chdir(HOME)
    monkeypatch.setattr(sys, "path", ["", HOME, "/other"])
    assert folders() == ["/other", HOME]


def test_a_working_directory_that_is_gone_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "path", ["", "/other"])
    assert folders() == ["/other", HOME]
