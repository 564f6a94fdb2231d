import io
import sys
from pathlib import Path

import pytest

from atonce.cli.main import main
from command import Command, Said


@pytest.fixture
def atonce(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`atonce ARGUMENTS < stdin` in this process."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "argv", ["atonce", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main()
        out, err = capsys.readouterr()
        return Said(int(exit.value.code or 0), out, err)

    return run
