"""The charts are valid Vega-Lite, look alike for the same model, and write names where they can be read."""

import itertools
import math

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from atonce.studies.curves import HEIGHT, learning_curves, name_places

FALLING = [(1.0, 6.0), (2.0, 4.0), (3.0, 3.2), (4.0, 3.0)]
LOWER = [(1.0, 5.0), (2.0, 3.0), (3.0, 2.4), (4.0, 2.2)]


def svg_of(lines: dict[str, list[tuple[float, float]]], models: list[str]) -> str:
    chart = learning_curves(lines, models, x_title="minutes", y_title="loss")
    return vl_convert.vegalite_to_svg({**chart, "width": 400})


def test_a_chart_can_be_drawn_and_names_its_lines() -> None:
    svg = svg_of({"GRU": FALLING, "Transformer": LOWER}, ["GRU", "Transformer"])
    assert "GRU" in svg
    assert "Transformer" in svg
    assert "minutes" in svg


@pytest.mark.parametrize("line", [[(1.0, 3.0)], [(1.0, 3.0), (2.0, 3.0)]])
def test_one_point_and_a_flat_line_can_be_drawn(line: list[tuple[float, float]]) -> None:
    assert "NaN" not in svg_of({"GRU": line}, ["GRU"])


def test_a_model_looks_the_same_whether_or_not_another_has_a_line() -> None:
    both = learning_curves({"a": FALLING, "b": LOWER}, ["a", "b"], x_title="", y_title="")
    alone = learning_curves({"b": LOWER}, ["a", "b"], x_title="", y_title="")
    for channel in ("color", "strokeDash"):
        scales = [chart["layer"][0]["encoding"][channel]["scale"] for chart in (both, alone)]
        assert scales[0] == scales[1]


def test_the_name_of_a_short_line_stays_inside_the_chart() -> None:
    long = "a model with a name that is longer than any chart is wide, whatever the screen"
    places = {
        place["model"]: place for place in name_places({long: FALLING[:1], "b": [(1.0, 5.0), (100.0, 2.0)]})
    }
    assert places[long]["x"] == pytest.approx(50)  # half of a chart is the most that a name takes


def test_names_keep_clear_of_lines_and_of_one_another() -> None:
    places = {place["model"]: place for place in name_places({"GRU": FALLING, "Transformer": LOWER})}
    assert places["GRU"]["y"] > FALLING[-1][1]
    assert places["Transformer"]["y"] < LOWER[-1][1]


ends = st.floats(min_value=0, max_value=100, allow_nan=False)


@given(st.lists(ends, min_size=1, max_size=3))
def test_names_stay_within_the_chart_and_apart_wherever_lines_end(heights: list[float]) -> None:
    lines = {f"model {i}": [(0.0, 100.0), (1.0, 0.0), (10.0, height)] for i, height in enumerate(heights)}
    places = name_places(lines)
    assert {place["model"] for place in places} == set(lines)
    assert all(math.isfinite(place["y"]) for place in places)
    pixel = 130 / HEIGHT  # 100, and room for names
    for one, other in itertools.combinations(places, 2):
        assert abs(one["y"] - other["y"]) > 5 * pixel
