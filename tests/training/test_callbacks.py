import io
import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import tiny
from atonce.data.batches import Batch, DataPosition
from atonce.training import callbacks
from atonce.training.callbacks import Callback, OnStep, Speed, TrainingEvent, Validation, progress_bar
from atonce.training.loop import Update
from atonce.training.train import train


class Clock:
    """Seconds that pass when we say so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(callbacks.time, "perf_counter", lambda: self.now)


def update(tokens: int, padding_share: float = 0.0) -> Update:
    nothing = torch.zeros(0, 0, dtype=torch.long)
    batch = Batch(nothing, nothing.bool(), nothing, nothing, nothing.bool())
    return Update(1, DataPosition(), 1.0, 1.0, 1.0, tokens, padding_share, (batch,), 1.0)


def test_tokens_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    speed = Speed()
    assert speed.tokens_per_second == 0
    for _ in range(5):
        clock.now += 0.5
        speed.count(update(200, padding_share=0.25))
    assert speed.tokens_per_second == pytest.approx(400)
    assert speed.padding_share == pytest.approx(0.25)


def test_what_is_done_while_it_is_paused_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    speed = Speed()
    for _ in range(5):
        clock.now += 0.5
        speed.count(update(200))
        with speed.paused():
            clock.now += 60
    assert speed.tokens_per_second == pytest.approx(400)


def test_it_is_the_speed_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    speed = Speed()
    for tokens in [1000] * 50 + [100] * 300:
        clock.now += 1
        speed.count(update(tokens))
    assert speed.tokens_per_second == pytest.approx(100, rel=0.01)


class Recorded(Callback):
    """What was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, TrainingEvent]] = []

    def on_step(self, event: TrainingEvent) -> None:
        self.told.append(("step", event))

    def on_validation(self, event: TrainingEvent) -> None:
        self.told.append(("validation", event))

    def on_end(self, event: TrainingEvent) -> None:
        self.told.append(("end", event))


def test_callbacks_are_told_of_steps_validations_and_the_end(tmp_path: Path) -> None:
    recorded, counted = Recorded(), []
    run = train(tiny.recipe(), tmp_path / "run", callbacks=[recorded, OnStep(counted.append)])
    steps = [event for kind, event in recorded.told if kind == "step"]
    assert steps == counted
    assert [event.update.step for event in steps] == list(range(1, 13))
    validations = [event for kind, event in recorded.told if kind == "validation"]
    assert [event.update.step for event in validations] == [6, 12]
    assert all(event.validation for event in validations)
    assert recorded.told[-1] == ("end", steps[-1])
    assert [kind for kind, _ in recorded.told].count("end") == 1
    logged = {entry["step"]: entry for entry in run.read_log()}
    assert logged.keys() == {6, 10, 12}
    for event in steps:
        assert logged.get(event.update.step, event.to_dict()) == event.to_dict()


def test_who_only_wants_the_end_need_say_nothing_of_steps(tmp_path: Path) -> None:
    class Ended(Callback):
        steps = 0

        def on_end(self, event: TrainingEvent) -> None:
            self.steps = event.update.step

    ended = Ended()
    train(tiny.recipe(), tmp_path / "run", callbacks=[ended])
    assert ended.steps == 12
    train(tiny.recipe(), tmp_path / "run", callbacks=[again := Ended()], resume=True)
    assert again.steps == 0, "there was no step left, and so no end"


def test_the_end_is_told_where_it_broke_off(tmp_path: Path) -> None:
    def breaking(event: TrainingEvent) -> None:
        if event.update.step == 3:
            raise KeyboardInterrupt

    recorded = Recorded()
    with pytest.raises(KeyboardInterrupt):
        train(tiny.recipe(), tmp_path / "run", callbacks=[recorded, OnStep(breaking)])
    assert [(kind, event.update.step) for kind, event in recorded.told][-1] == ("end", 3)


def test_validations_are_logged_for_programs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="atonce"):
        train(tiny.recipe(), tmp_path / "run")
    said = [record.getMessage() for record in caplog.records if record.name == "atonce"]
    assert [line.partition(" of ")[0] for line in said] == ["run: step 6", "run: step 12"]
    assert "validation loss" in said[0]
    assert "chrF" in said[0]


def test_numbers_that_are_none_have_no_value() -> None:
    event = TrainingEvent(replace(update(5), loss=math.nan), 9, 0.5, 1.0, Validation(math.inf, "chrf", 3.0))
    values = event.to_dict()
    assert values["loss"] is None
    assert values["valid_loss"] is None
    assert values["valid_chrf"] == 3.0
    assert json.loads(json.dumps(values)) == values


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

    monkeypatch.setattr(callbacks, "Console", terminal)
    with progress_bar("run [1]") as shown:
        shown.on_step(replace(EVENT, validation=None))
    for shown in ("run [1]", "loss 3.250", "12,346 tokens/s", "3.4% padding", "left"):
        assert shown in screen.getvalue()
