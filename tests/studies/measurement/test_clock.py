"""What is timed, beside what, and what is left out."""

import itertools
from pathlib import Path

import pytest
import torch

from atonce.errors import RecipeError
from atonce.runs.folder import RunFolder
from atonce.studies.measurement import clock as module
from atonce.studies.measurement import runners
from atonce.studies.measurement.clock import Clock, Timing, clock, rounds
from atonce.studies.measurement.clock_figure import ClockFigure
from atonce.studies.measurement.clock_tables import clock_tables, duration
from atonce.studies.measurement.subjects import subject


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small and short: what is tested is what is timed, not how long it takes."""
    monkeypatch.setattr(runners, "WIDTH", 16)
    monkeypatch.setattr(runners, "VOCAB", 16)
    monkeypatch.setattr(module, "SECONDS", 1e-4)
    monkeypatch.setattr(module, "BATCHES", (1, 2))
    monkeypatch.setattr(module, "COUNTED", (4, 8))


def test_layers_run_beside_torchs_own_and_models_write_too() -> None:
    done: list[int] = []
    subjects = [subject("gru"), subject("convolution"), subject("seq2seq-gru")]
    found = clock(subjects, (4, 6), watch=lambda: done.append(1))
    assert len(done) == rounds(subjects, (4, 6)) == 6
    threads = sorted({1, torch.get_num_threads()})
    phases = {"gru": ("forward", "training step"), "convolution": ("forward", "training step")}
    phases["seq2seq-gru"] = ("forward", "training step", "generation")
    wanted = {
        (name, phase, *rest)
        for name, own in phases.items()
        for phase, *rest in itertools.product(own, (4, 6), (1, 2), threads)
    }
    assert {(one.name, one.phase, one.length, one.batch, one.threads) for one in found.timings} == wanted
    for one in found.timings:
        assert one.seconds > 0
        assert one.peer == ("torch.nn.GRU" if one.name == "gru" else None)
        assert (one.peer_seconds is None) == (one.peer is None)
        assert one.promised is not None
        assert 0 < one.promised <= one.threads
        assert found.speedup(one) is not None
    assert found.machine.endswith(torch.__version__)


def mine(states):
    return states.cumsum(1)


def deaf(states):
    return states.detach().cumsum(1)


def test_what_a_user_brings_along(monkeypatch: pytest.MonkeyPatch, dates_run: RunFolder) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    subjects = [subject(name) for name in ("test_clock:mine", "test_clock:deaf", str(dates_run.path))]
    found = clock(subjects, (4,))
    phases = {name: [] for name in (one.name for one in subjects)}
    for one in found.timings:
        if one.phase not in phases[one.name]:
            phases[one.name].append(one.phase)
    assert list(phases.values()) == [
        ["forward", "training step"], ["forward"], ["forward", "training step", "generation"],
    ]  # fmt: skip


def alone(states):
    return states.reshape(states.shape[1], 16)


def test_a_program_that_takes_no_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(RecipeError, match=r"test_clock:alone failed[\s\S]*\(batch, length, 16\)"):
        clock([subject("test_clock:alone")], (4,))


def test_what_would_take_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "medians", lambda calls, **_: [0.001 for _ in calls])
    monkeypatch.setattr(module, "MOST_SECONDS", 0.003)
    lengths = {one.length for one in clock([subject("rnn")], (4, 6, 12)).timings}
    assert lengths == {4, 6}  # at 6 it may be 2.25 times as long as at 4, at 12 four times as long as at 6


def test_what_would_not_fit_into_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "kept_bytes", lambda call: 100)
    monkeypatch.setattr(module, "memory", lambda device: 800)
    found = {(one.length, one.batch) for one in clock([subject("rnn")], (4, 6)).timings}
    # Kept are 100 bytes a sequence at 4, so at 6 at most 225; twice that must fit into half of the memory.
    assert found == {(4, 1), (4, 2)}
    monkeypatch.setattr(module, "memory", lambda device: 900)
    found = {(one.length, one.batch) for one in clock([subject("rnn")], (4, 6)).timings}
    assert found == {(4, 1), (4, 2), (6, 1), (6, 2)}


def timing(length: int, threads: int, seconds: float, **more: object) -> Timing:
    known = {"name": "lstm", "title": "LSTM", "whole": False, "phase": "forward", "batch": 1, "peer": None}
    known |= {"peer_seconds": None, "promised": None, "length": length, "threads": threads}
    return Timing(**(known | {"seconds": seconds} | more))


MADE = Clock(
    "a machine", "cpu", (1, 2),
    (
        timing(8, 1, 2e-3), timing(8, 2, 1.6e-3, peer="torch.nn.LSTM", peer_seconds=1.2e-3, promised=1.9),
        timing(16, 1, 0.25), timing(16, 2, 0.125, peer="torch.nn.LSTM", peer_seconds=0.25, promised=1.95),
        timing(8, 1, 1e-4, batch=32, name="rnn", title="RNN"),
        timing(8, 2, 1e-4, batch=32, name="rnn", title="RNN"),
    ),
)  # fmt: skip


def test_the_tables_say_what_was_timed() -> None:
    one, many = clock_tables(MADE)
    assert (one.title, many.title) == ("Layers, forward, one sequence", "Layers, forward, 32 sequences")
    assert one.header == ("layer", "n = 8", "n = 16", "torch's own", "gained", "promised")
    assert one.rows == (("LSTM", "1.6 ms", "125 ms", "2.00 ×", "2.00 ×", "1.95 ×"),)
    assert many.rows == (("RNN", "100 µs", "1.00 ×", ""),)
    assert "a machine; cpu" in one.note


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(3.21e-6, "3.2 µs"), (0.0999, "100 ms"), (12.0, "12 s"), (1.0, "1 s"), (4e-7, "0.4 µs")],
)
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_picture_has_a_panel_for_each_table() -> None:
    figure = ClockFigure(MADE)
    spec = figure.chart().to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == [group.title for group in MADE.groups()]
    assert "125 ms" in "".join(table.html() for table in figure.tables())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator")
def test_an_accelerator_is_timed_too() -> None:
    device = torch.accelerator.current_accelerator()
    found = clock([subject("gru"), subject("transformer")], (4, 8), device=device)
    assert {one.phase for one in found.timings} == {"forward", "training step", "generation"}
    assert {one.promised for one in found.timings} == {None}
    assert found.device == str(device)
