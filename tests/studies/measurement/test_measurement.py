"""All that is found, in one object: tables, pictures, files."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import atonce
from atonce.figures.figure import FORMATS
from atonce.studies.measurement import clock as clocks
from atonce.studies.measurement import runners
from atonce.studies.measurement.clock_figure import ClockFigure
from atonce.studies.measurement.distance_figure import InfluenceFigure
from atonce.studies.measurement.growth_figure import GrowthFigure
from atonce.studies.measurement.measurement import Measurement, measure
from atonce.studies.measurement.ticks_figure import ConesFigure, TicksFigure


@pytest.fixture(scope="module")
def told() -> Counter[str]:
    return Counter()


@pytest.fixture(scope="module")
def found(told: Counter[str]) -> Measurement:
    def watch(what: str, total: int) -> Callable[[], None]:
        told[what, "promised"] += total
        return lambda: told.update([(what, "done")])

    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("WIDTH", 16), ("VOCAB", 16)):
            patched.setattr(runners, name, value)
        for name, value in (("SECONDS", 1e-4), ("COUNTED", (4, 8))):
            patched.setattr(clocks, name, value)
        return measure(["rnn", "seq2seq-gru"], (4, 8), clock=(4, 6), watch=watch)


def test_progress_is_told_as_often_as_it_was_promised(found: Measurement, told: Counter[str]) -> None:
    assert found.clock is not None
    for what in ("Measuring", "Timing"):
        assert told[what, "promised"] == told[what, "done"] > 0
    done: list[int] = []
    other = Measurement(found.measured, None, found.subjects)
    other.look(lambda: done.append(1))
    assert len(done) == other.rounds()


def test_the_folder_can_be_called() -> None:
    found = atonce.measure(["rnn"], lengths=[4, 8])
    assert isinstance(found, Measurement)
    assert str(found.measured.layers[0].growth.span) == "3 n"
    assert found.clock is None
    with pytest.raises(LookupError, match="nothing was timed"):
        found.picture("clock")


def test_every_picture(found: Measurement) -> None:
    kinds = {"growth": GrowthFigure, "ticks": TicksFigure, "cones": ConesFigure, "influence": InfluenceFigure}
    for name, kind in (kinds | {"clock": ClockFigure}).items():
        assert type(found.picture(name)) is kind


@pytest.mark.parametrize("ending", [*FORMATS, ".md"])
def test_it_is_saved_in_every_format(found: Measurement, ending: str, tmp_path: Path) -> None:
    found.save(tmp_path / f"growth{ending}")
    content = (tmp_path / f"growth{ending}").read_bytes()
    if ending in (".html", ".svg", ".md", ".json"):
        assert "RNN" in content.decode()
    if ending == ".json":
        assert json.loads(content) == json.loads(json.dumps(found.to_dict()))
        assert json.loads(content)["clock"]["timings"]
    if ending == ".html":
        assert content.count(b'<figure class="heatmap">') == 5
    if ending == ".md":
        assert b"Layers, training step, 32 sequences" in content
    assert len(content) > 500
