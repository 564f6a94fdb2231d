import pytest
import torch

from atonce.data.batches import Batch
from atonce.training import speed as speed_module
from atonce.training.loop import Update
from atonce.training.speed import Speed
from atonce.training.stream import Position


class Clock:
    """Seconds that pass when we say so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(speed_module.time, "perf_counter", lambda: self.now)


def update(tokens: int, padding_share: float = 0.0) -> Update:
    nothing = torch.zeros(0, 0, dtype=torch.long)
    batch = Batch(nothing, nothing.bool(), nothing, nothing, nothing.bool())
    return Update(1, Position(), 1.0, 1.0, 1.0, tokens, padding_share, (batch,), 1.0)


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
