"""The charts can be drawn, look alike for the same model, and keep names apart."""

import itertools
from typing import Any

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from atonce.studies.charts import (
    Gained,
    Whisker,
    gains,
    learning_curves,
    one_of_many,
    scatter,
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
    "lines": learning_curves(LINES, MODELS, x_title="minutes", y_title="chrF"),
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


# Learning curves

FALLING = [(1.0, 6.0), (2.0, 4.0), (3.0, 3.2), (4.0, 3.0)]
LOWER = [(1.0, 5.0), (2.0, 3.0), (3.0, 2.4), (4.0, 2.2)]


def curves(lines: dict[str, list[tuple[float, float]]], models: list[str]) -> dict[str, Any]:
    return learning_curves(lines, models, x_title="minutes", y_title="loss")


def test_a_curve_can_be_drawn_and_names_its_lines() -> None:
    svg = drawn(curves({"GRU": FALLING, "Transformer": LOWER}, ["GRU", "Transformer"]))
    assert all(text in svg for text in ("GRU", "Transformer", "minutes"))


@pytest.mark.parametrize("line", [[(1.0, 3.0)], [(1.0, 3.0), (2.0, 3.0)]])
def test_one_point_and_a_flat_line_can_be_drawn(line: list[tuple[float, float]]) -> None:
    assert "NaN" not in drawn(curves({"GRU": line}, ["GRU"]))


def test_a_model_looks_the_same_whether_or_not_another_has_a_line() -> None:
    both = curves({"a": FALLING, "b": LOWER}, ["a", "b"])
    alone = curves({"b": LOWER}, ["a", "b"])
    for channel in ("color", "strokeDash"):
        scales = [chart["layer"][0]["encoding"][channel]["scale"] for chart in (both, alone)]
        assert scales[0] == scales[1]


ends = st.floats(min_value=0, max_value=100, allow_nan=False)


@given(st.lists(ends, min_size=1, max_size=9))
def test_names_stay_within_the_chart_and_apart_wherever_lines_end(heights: list[float]) -> None:
    lines = {f"model {i}": [(0.0, 100.0), (1.0, 0.0), (10.0, height)] for i, height in enumerate(heights)}
    chart = curves(lines, list(lines))
    (domain,) = {tuple(layer["encoding"]["y"]["scale"]["domain"]) for layer in chart["layer"][:1]}
    ends_of_lines = chart["datasets"][chart["layer"][-1]["data"]["name"]]
    places = [row["place"] for row in ends_of_lines]
    assert len(places) == len(lines)
    assert all(domain[0] <= place <= domain[1] for place in places)
    pixel = (domain[1] - domain[0]) / chart["height"]
    for one, other in itertools.combinations(places, 2):
        assert abs(one - other) > 12 * pixel
