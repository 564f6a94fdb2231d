"""Grids of positions: when each cell is there, and what goes into an output."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import vl_convert

from atonce.models.architectures import ARCHITECTURES
from atonce.studies.measurement.subjects import subject
from atonce.studies.measurement.tick_views import LAYERS, LENGTH, TickView, tick_views
from atonce.studies.measurement.ticks_figure import ConesFigure, TicksFigure


@pytest.fixture(scope="module")
def views() -> list[TickView]:
    return tick_views([subject(name) for name in ("lstm", "convolution", "self-attention", "additive-bigru")])


def test_a_recurrent_layer_fills_column_by_column_and_self_attention_row_by_row(
    views: list[TickView],
) -> None:
    recurrent, convolution, attention, *_ = views
    assert [row.ticks for row in attention.rows] == [(13 * n,) * LENGTH for n in range(1, LAYERS + 1)]
    assert [row.ticks for row in convolution.rows] == [(2 * n,) * LENGTH for n in range(1, LAYERS + 1)]
    for row in recurrent.rows:
        assert all(later - one == 7 for one, later in pairwise(row.ticks))


def test_cones_of_layers(views: list[TickView]) -> None:
    recurrent, convolution, attention, *_ = views
    output = 4
    assert recurrent.rows[0].into[:, output].tolist() == [place <= output for place in range(LENGTH)]
    assert attention.rows[0].into[:, output].tolist() == [True] * LENGTH
    for depth, row in enumerate(reversed(convolution.rows)):
        assert row.into[:, output].tolist() == [abs(place - output) <= depth for place in range(LENGTH)]


def test_a_model_in_training_and_in_generation(views: list[TickView]) -> None:
    training, generation = views[3:]
    assert (training.phase, generation.phase) == ("training", "generation")
    assert [row.name for row in training.rows][:1] == ["words read"]
    assert training.rows[-1].name == "scores"
    assert generation.rows[-1].name == "words written"
    for view in (training, generation):
        by_name = {row.name: row for row in view.rows}
        assert all(one < later for one, later in pairwise(by_name["attention"].ticks))  # α wait (Bahdanau)
        assert by_name["words read"].into.all()  # both directions: every word goes into every output


@pytest.mark.parametrize("name", [one.name for one in ARCHITECTURES])
def test_every_architecture_has_rows_of_all_positions(name: str) -> None:
    for view in tick_views([subject(name)]):
        assert {len(row.ticks) for row in view.rows} == {LENGTH}
        assert {tuple(row.into.shape) for row in view.rows} == {(LENGTH, LENGTH)}
        assert max(max(row.ticks) for row in view.rows) == view.last
        decoder = [row for row in view.rows if row.name.startswith(("decoder", "state", "mixture"))]
        assert decoder
        for row in [*decoder, view.rows[-1]]:  # no position goes into an earlier output
            assert not row.into.tril(-1).any(), row.name


def test_a_module_of_the_users_has_a_row_for_each_module_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    (view,) = tick_views([subject("test_measured:Mine")])
    assert [row.name for row in view.rows] == ["layer", "result"]
    (view,) = tick_views([subject("test_measured:mine")])
    assert [row.name for row in view.rows] == ["result"]


def test_the_pictures(views: list[TickView], tmp_path: Path) -> None:
    for figure in (TicksFigure(views), ConesFigure(views)):
        svg = vl_convert.vegalite_to_svg(figure.chart().to_dict())
        assert "undefined" not in svg
        for view in views:
            assert view.heading in svg
            assert view.heading in figure.tables()
        figure.save(tmp_path / "grid.json")
        assert json.loads((tmp_path / "grid.json").read_text()) == figure.to_dict()
        figure.save(tmp_path / "grid.html")
        assert 'type="range"' in (tmp_path / "grid.html").read_text(encoding="utf-8")
    assert ">70<" in vl_convert.vegalite_to_svg(TicksFigure(views[:1]).chart().to_dict())
