import sys

import pytest

from atonce.cli import options


@pytest.mark.parametrize(
    ("asked", "installed", "terminal", "able", "hint"),
    [
        (True, False, True, True, True),
        (False, False, True, True, False),
        (True, True, True, True, False),
        (True, False, False, True, False),
        (True, False, True, False, False),
    ],
)
def test_who_asks_for_speed_on_a_terminal_hears_what_would_help(
    asked: bool, installed: bool, terminal: bool, able: bool, hint: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("atonce.fast.can_compile", lambda: able and installed)
    monkeypatch.setattr("atonce.fast.quantization.has_int8_hardware", lambda: able)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert options._hint(asked) is asked
    assert ("pip install 'atonce[fast]'" in capsys.readouterr().err) is hint
