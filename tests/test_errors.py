import inspect
from pathlib import Path

import pytest

from atonce import errors
from atonce.disk import disk_error
from atonce.errors import AtonceError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


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
