import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from atonce.data.batches import Batch, DataPosition
from atonce.training import progress_bar as bar_module
from atonce.training.callbacks import TrainingEvent
from atonce.training.loop import Update
from atonce.training.progress_bar import progress_bar
from atonce.training.validation import Validation

_NOTHING = torch.zeros(0, 0, dtype=torch.long)
_BATCH = Batch(_NOTHING, _NOTHING.bool(), _NOTHING, _NOTHING, _NOTHING.bool())
EVENT = TrainingEvent(
    Update(12, DataPosition(), 3.25, 1.0, 1.0, 100, 0.034, (_BATCH,), 65.4),
    800,
    0.015,
    12345.6,
    Validation(2.5, "chrf", 41.25),
)


def test_without_a_terminal_each_validation_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("my [bold] run") as shown:
        shown.on_step(EVENT)
        shown.on_step(replace(EVENT, validation=None))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "my [bold] run · step 12 · 2% · 65 s · loss 3.250 · 12,346 tokens/s · 3.4% padding · "
        "validation loss 2.500, chrF 41.2\n"
    )


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("run", quiet=True) as shown:
        shown.on_step(EVENT)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    def terminal(**options: object) -> Console:
        return Console(file=screen, force_terminal=True, width=200, markup=False, highlight=False)

    monkeypatch.setattr(bar_module, "Console", terminal)
    with progress_bar("run [1]") as shown:
        shown.on_step(replace(EVENT, validation=None))
    for shown in ("run [1]", "loss 3.250", "12,346 tokens/s", "3.4% padding", "left"):
        assert shown in screen.getvalue()
