import time

import pytest
from rich.console import Console

import atonce.progress as progress_module
from atonce.progress import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(
        progress_module, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=100)
    )


def test_nothing_is_shown_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("Reading", total=3) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


def test_a_moment_is_not_worth_a_bar(terminal: None, capfd: pytest.CaptureFixture[str]) -> None:
    with progress("Reading", total=3) as advance:
        advance(1)
    assert "Reading" not in capfd.readouterr().err


@pytest.mark.parametrize("total", [3, None])
def test_a_bar_appears_on_stderr(
    terminal: None, capfd: pytest.CaptureFixture[str], total: int | None
) -> None:
    with progress("Reading", total=total) as advance:
        advance(1)
        time.sleep(0.3)
    shown = capfd.readouterr()
    assert "Reading" in shown.err
    assert ("1/3" in shown.err) == (total is not None)
    assert shown.out == ""


def test_quiet_is_quiet(terminal: None, capfd: pytest.CaptureFixture[str]) -> None:
    with progress("Reading", quiet=True):
        time.sleep(0.2)
    assert capfd.readouterr() == ("", "")
