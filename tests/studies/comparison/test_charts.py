"""The charts can be drawn, look alike for the same model, and keep names apart."""

import pytest
import vl_convert

from atonce.studies.comparison.charts import (
    Gained,
    Whisker,
    gains,
    named_lines,
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
