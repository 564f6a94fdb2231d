import inspect
from pathlib import Path

import pytest

from atonce import errors
from atonce.disk import disk_error
from atonce.errors import AtonceError

KINDS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__]


def test_what_why_and_what_to_do_are_three_lines() -> None:
    error = AtonceError("it broke", why="it was old", fix="buy another")
    assert str(error) == "it broke\n  why: it was old\n  fix: buy another"
    assert (error.what, error.why, error.fix) == ("it broke", "it was old", "buy another")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_one_and_is_in_the_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, AtonceError)
    assert f" {kind.__name__} " in f"{errors.__doc__} ".replace("\n", " ")
    assert kind.__doc__


def test_a_disk_error_says_which_file_and_why() -> None:
    error = disk_error(Path("a/b"), OSError(28, "No space left on device"))
    assert error.what == "cannot write a/b"
    assert error.why.startswith("No space left on device")
    assert "I/O error" in disk_error(Path("a"), OSError("I/O error")).why


def test_reasons_are_given_without_number_and_path() -> None:
    assert errors.reason(OSError(28, "No space left on device", "a")) == "No space left on device"
    assert errors.reason(ValueError("it is odd")) == "it is odd"
    assert errors.reason(ValueError()) == "ValueError"


def test_what_is_said_often_is_said_alike() -> None:
    wrong = errors.wrong_task("runs/a", "translation", "reading", fix="atonce read runs/a")
    assert str(wrong).splitlines()[:2] == [
        "runs/a is not for translation",
        "  why: it was trained for reading",
    ]
    broken = errors.damaged("a.json", ValueError("two\nlines"))
    assert (broken.what, broken.why, broken.fix) == ("a.json is damaged", "two lines", errors.RESTORE)
    assert errors.damaged("a", "").why == "it cannot be read"
    lost = errors.unreadable("a", OSError(13, "Permission denied"), kind=errors.RunError)
    assert (type(lost), lost.what, lost.why) == (errors.RunError, "cannot read a", "Permission denied")
    missing = errors.not_installed("no server", "numba is missing", "fast", kind=errors.DataError)
    assert (type(missing), missing.fix) == (errors.DataError, "pip install 'atonce[fast]'")
    failed = errors.download_failed("a.zip", TimeoutError("late\nvery"), otherwise=", or wait")
    assert (failed.what, failed.why) == ("the download of a.zip failed", "late")
    assert failed.fix == "check the network, or wait"
