"""The charts can be drawn, look alike for the same model, and keep names apart."""

import itertools

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from atonce.studies.compare_charts import (
    Gained,
    Whisker,
    gains,
    named_lines,
    one_of_many,
    scatter,
    spread,
    whiskers,
)

MODELS = ["LSTM", "Transformer"]
ROWS = [Whisker("Transformer", 28.64, 27.5, 29.7, (28.2, 29.0)), Whisker("LSTM", 14.0, 12.9, 15.1)]
LINES = {"LSTM": [(1.0, 12.0), (2.0, 14.0)], "Transformer": [(1.0, 20.0), (2.0, 28.6)]}
BANDS = {name: [Whisker(words, 20.0, 18.0, 22.0) for words in ("< 6", "≥ 12")] for name in MODELS}
CHARTS = {
    "whiskers": whiskers(ROWS, MODELS, x_title="BLEU"),
    "gains": gains(
        [Gained("Transformer", True, 9.0, 7.0, 11.0), Gained("Transformer", False, 5.0, 4.0, 6.0)],
        MODELS,
        x_title="points of BLEU",
    ),
    "lines": named_lines(LINES, MODELS, x_title="minutes", y_title="chrF"),
    "length": one_of_many(BANDS, "Transformer", MODELS, x_title="words"),
    "scatter": scatter({"LSTM": (7e3, 900.0), "Transformer": (15e3, 380.0)}, MODELS, x_title="", y_title=""),
}


def drawn(chart: dict[str, object]) -> str:
    return vl_convert.vegalite_to_svg({**chart, "width": 300})


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_can_be_drawn(name: str) -> None:
    svg = drawn(CHARTS[name])
    assert "NaN" not in svg
    assert "undefined" not in svg
    assert name == "length" or "Transformer" in svg


@pytest.mark.parametrize("name", CHARTS)
def test_a_model_has_the_same_colour_on_every_chart(name: str) -> None:
    scales = [
        layer["encoding"]["color"]["scale"]
        for layer in CHARTS[name]["layer"]
        if "color" in layer.get("encoding", {})
    ]
    assert scales
    assert all(scale == {"domain": MODELS} for scale in scales)


def test_numbers_and_both_models_are_written_beside_their_whiskers() -> None:
    svg = drawn(CHARTS["whiskers"])
    assert all(text in svg for text in (">28.6<", ">14.0<", ">LSTM<", ">Transformer<"))


def test_every_line_is_named() -> None:
    svg = drawn(CHARTS["lines"])
    assert all(f">{name}<" in svg for name in MODELS)


def test_one_model_alone_can_be_drawn() -> None:
    assert "NaN" not in drawn(one_of_many({"LSTM": BANDS["LSTM"]}, "LSTM", ["LSTM"], x_title="words"))
    assert "NaN" not in drawn(scatter({"LSTM": (1.0, 1.0)}, ["LSTM"], x_title="", y_title=""))


values = st.lists(st.floats(0, 100), min_size=1, max_size=9)


@given(values)
def test_what_is_spread_keeps_its_distance_its_order_and_its_bounds(wanted: list[float]) -> None:
    places = spread(wanted, apart=10.0, low=0.0, high=100.0)
    for one, other in itertools.pairwise(sorted(places)):
        assert other - one >= 10 - 1e-9
    assert min(places) >= -1e-9
    assert max(places) <= 100 + 1e-9
    for (one, at), (other, also_at) in itertools.combinations(zip(wanted, places, strict=True), 2):
        assert one == other or (one < other) == (at < also_at)


def test_what_has_its_distance_already_stays_where_it_is() -> None:
    assert spread([50.0, 10.0, 90.0], apart=10.0, low=0.0, high=100.0) == pytest.approx([50, 10, 90])


def test_two_in_one_place_give_way_alike() -> None:
    assert sorted(spread([50.0, 50.0], apart=10.0, low=0.0, high=100.0)) == pytest.approx([45, 55])


def test_where_there_is_no_room_the_distance_is_kept() -> None:
    places = sorted(spread([1.0, 2.0, 3.0], apart=10.0, low=0.0, high=10.0))
    assert places == pytest.approx([-5, 5, 15])
