"""Whatever stands in texts, names and labels: every figure there is holds what can be drawn, and is drawn."""

import html
import importlib
import io
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import atonce
from atonce.explain.context import Context
from atonce.explain.context_vectors import ContextInfluence, Use
from atonce.explain.image_attention import ImageAttention
from atonce.explain.image_heatmap import ImageHeatmap
from atonce.explain.influence import Occlusion
from atonce.explain.text_heatmap import Heatmap
from atonce.explain.words import AttentionMap
from atonce.figures import fonts
from atonce.figures.drawing_process import OF_ONE_USER, SHARED, DrawingDied
from atonce.figures.figure import Figure, TooMuchToDraw, natural_size
from atonce.figures.labels import LONGEST, width_px
from atonce.figures.vega import vega_lite_version
from atonce.measure.growth import Growth, law_of
from atonce.studies.charts import Gained, Whisker, gains, learning_curves, one_of_many, scatter, whiskers
from atonce.studies.measurement.clock import Timing, Timings
from atonce.studies.measurement.growth import GrowthResult, LayerGrowth
from atonce.studies.measurement.influence import Influence, InfluenceFigure
from atonce.studies.measurement.measurement import Measurement
from atonce.studies.measurement.schedule import ConesFigure, Row, Schedule, TicksFigure
from figures.test_labels import allowed

LONG = "𝔘𝔫𝔦𝔠𝔬𝔡𝔢" * 60
AWKWARD = (
    "plain", "bell\x07", "\x1b[31mred", "\x7f\x85", "\ufffe\uffff", "half \ud835", LONG, LONG + "2",
    "e" + "\u0301" * 40, "שלום עולם", "\u202eover", "👩‍👩‍👧‍👦" * 50, "", "   ", "\u200b", "tab\tline\n",
    "<b>&amp;</b> ]]> </script>", "datum.value' + \"x\" \\", "今日は" * 60, "w" * 500,
)  # fmt: skip
WORDS = tuple(text.replace(" ", "_") for text in AWKWARD)
GRID = np.full((2, 2), 0.25, np.float32)


def heat_map() -> Heatmap:
    weights = np.full((len(WORDS), len(WORDS)), 1 / len(WORDS), np.float32)
    maps = tuple(
        AttentionMap(WORDS, WORDS, weights, title=f"{LONG}\x00, head {head}", rule=" ".join(AWKWARD))
        for head in (1, 2)
    )
    return Heatmap(maps, source=" ".join(WORDS), output=" ".join(WORDS), model=" ".join(AWKWARD))


def image_heat_map() -> ImageHeatmap:
    attention = ImageAttention(
        f"layer{LONG}\x00, head", LONG, (2, 2), AWKWARD, (0.5,) * len(AWKWARD),
        np.stack([GRID] * len(AWKWARD)),
    )  # fmt: skip
    occlusion = Occlusion(f"{LONG}\x01", LONG, LONG, (2, 2), GRID)
    image = np.zeros((4, 4), np.uint8)
    name = " ".join(AWKWARD)
    return ImageHeatmap(image, name, name, 0.5, name, (attention,), occlusion)


def context() -> Context:
    uses = tuple(Use(f"{text} word {text}", len(text) + 1, len(text) + 5, (1,), 0, 1) for text in AWKWARD)
    vectors = {"embedding": np.random.default_rng(0).normal(size=(len(uses), 3)).astype(np.float32)}
    name = " ".join(AWKWARD)
    return Context(
        name, name, 9, uses, vectors, {"embedding": ContextInfluence(0.5, 0.1, 0.2)}, shown=("embedding",)
    )


def views() -> list[Schedule]:
    rows = tuple(Row(text, (1, 2), torch.eye(2, dtype=torch.bool)) for text in AWKWARD)
    return [Schedule(LONG + "\x00", "", 2, rows), Schedule(LONG, "training", 2, rows)]


def grown() -> GrowthResult:
    law = law_of({4: 4, 8: 8, 16: 16})
    found = Growth(law, law, law, law, calls={})
    return GrowthResult((4, 8, 16), tuple(LayerGrowth(one, one, found, None, law) for one in AWKWARD), ())


def timings() -> Timings:
    found = [
        Timing(one, one, False, "forward", length, 1, 1, length / 100, None, None, None)
        for one in AWKWARD
        for length in (4, 8)
    ]
    return Timings("machine", "cpu", (1,), tuple(found))


FIGURES: dict[type[Figure], Callable[[], Figure]] = {
    Heatmap: heat_map,
    ImageHeatmap: image_heat_map,
    Context: context,
    TicksFigure: lambda: TicksFigure(views()),
    ConesFigure: lambda: ConesFigure(views()),
    InfluenceFigure: lambda: InfluenceFigure(
        [Influence(one, one, False, {distance: 0.5 for distance in range(-32, 33)}) for one in AWKWARD]
    ),
    GrowthResult: grown,
    Measurement: lambda: Measurement(grown()),
    Timings: timings,
}
WHISKERS = [Whisker(one, 2.0 + at, 1.0 + at, 3.0 + at, (1.5, 2.5)) for at, one in enumerate(AWKWARD)]
LINES = {one: [(1.0, 2.0 + at), (2.0, 3.0 + at)] for at, one in enumerate(AWKWARD)}
CHARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "whiskers": lambda: whiskers(WHISKERS, AWKWARD, x_title="x"),
    "gains": lambda: gains(
        [Gained(one, True, 2.0, 1.0, 3.0) for one in AWKWARD], AWKWARD, x_title=f"above {AWKWARD[1]}"
    ),
    "one of many": lambda: one_of_many(
        {one: [Whisker("< 6", 2.0, 1.0, 3.0)] for one in AWKWARD}, LONG, AWKWARD, x_title="x"
    ),
    "scatter": lambda: scatter(
        {one: (2.0 + at, 3.0) for at, one in enumerate(AWKWARD)}, AWKWARD, x_title="x", y_title="y"
    ),
    "learning curves": lambda: learning_curves(LINES, AWKWARD, x_title="x", y_title="y"),
}


def kinds_of_figures() -> set[type[Figure]]:
    for module in pkgutil.walk_packages(atonce.__path__, "atonce."):
        if module.name.startswith(("atonce.explain.", "atonce.studies.")):
            importlib.import_module(module.name)

    def below(kind: type[Figure]) -> Iterator[type[Figure]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    own = {one for one in below(Figure) if one.__module__.startswith("atonce.")}
    return {one for one in own if not getattr(one, "__abstractmethods__", None)}


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def check_drawn(spec: dict[str, Any], longest: float) -> str:
    """That its texts are of XML, that it is drawn, and that no text on it is longer than so many pixels."""
    assert all(map(allowed, "".join(texts_in(spec))))
    assert json.loads(json.dumps(spec)) == spec
    svg = SHARED.ask("vegalite_to_svg", vl_spec=spec, vl_version=vega_lite_version()).decode()
    assert all(map(allowed, svg))
    texts = [html.unescape(text) for text in re.findall(r">([^<>]+)</(?:text|tspan)>", svg)]
    assert texts
    assert max(width_px(text, 11) for text in texts) < longest
    return svg


def test_no_figure_is_forgotten() -> None:
    assert kinds_of_figures() == set(FIGURES)


@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_of_awkward_texts_is_drawn(kind: type[Figure]) -> None:
    figure = FIGURES[kind]()
    svg = check_drawn(figure.spec(), longest=1100)  # a title may be as wide as the figure
    assert svg.count("plain") or kind is ImageHeatmap
    for content in (figure.rendered(".json"), *([] if kind is Measurement else [figure.rendered(".html")])):
        content.decode()
    if kind is not Measurement:
        page = figure.to_page()
        before = page[: page.rindex("<script>")]
        assert all(map(allowed, before))


@pytest.mark.parametrize("kind", [kind for kind in FIGURES if kind is not Measurement])
def test_its_size_is_known_before_it_is_drawn(kind: type[Figure]) -> None:
    spec = FIGURES[kind]().spec()
    svg = SHARED.ask("vegalite_to_svg", vl_spec=spec, vl_version=vega_lite_version()).decode()
    found = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', svg)
    assert found is not None
    width, height = natural_size(spec)
    assert 0.4 < width * height / (float(found[1]) * float(found[2])) < 2.5


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_awkward_names_is_drawn_and_keeps_them_apart(name: str) -> None:
    spec = {**CHARTS[name](), "width": 300}
    check_drawn(spec, longest=LONGEST + 20)
    used = {
        row[key]
        for rows in spec["datasets"].values()
        for row in rows
        for key in ("model", "label", "other")
        if key in row and row[key] != "< 6"
    }
    assert len(used) == len(AWKWARD)


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_pictures_of_awkward_texts_are_drawn(suffix: str) -> None:
    assert len(heat_map().rendered(suffix)) > 10_000


def test_bands_of_words_that_look_alike_stay_apart() -> None:
    spec = heat_map().spec()
    words = len(WORDS)
    assert {len(one["value"]) for one in spec["params"] if "labels" in one["name"]} == {words}
    assert len(spec["datasets"]["cells_0"]) == words**2
    rows = next(one["value"] for one in spec["params"] if one["name"] == "row_labels_0")
    assert max(width_px(one, 11) for one in rows) <= LONGEST
    whole = next(one["value"] for one in spec["params"] if one["name"] == "row_words_0")
    assert whole[AWKWARD.index(LONG)] == LONG  # for who points at it


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".html", ".json"])
def test_a_heat_map_of_a_book_is_refused_before_it_takes_memory(suffix: str) -> None:
    words = tuple(map(str, range(5_000)))
    weights = np.zeros((5_000, 5_000), np.float32)
    huge = Heatmap((AttentionMap(words, words, weights, "a", "b"),), source="", output="", model="model")
    with pytest.raises(TooMuchToDraw, match=r"has 25,000,000 cells or points[\s\S]*fix: take less"):
        huge.rendered(suffix)
    bundle = huge._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert "the heat map is too large" in bundle["text/plain"]


def test_a_figure_is_written_though_its_fonts_cannot_be_looked_at(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: str) -> None:
        raise DrawingDied("the process died", why="it was killed", fix="try again")

    monkeypatch.setattr(fonts, "warn_of_faults", die)
    heat_map().save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_dies_leaves_no_file_and_three_lines(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = heat_map()
    (tmp_path / "a.svg").write_text("before")

    def die(*_: Any, **__: Any) -> bytes:
        raise SHARED._death(dead, OF_ONE_USER, late=False)

    dead = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    dead.wait()
    monkeypatch.setattr(SHARED, "_complaints", io.BytesIO(b"a crash"))
    monkeypatch.setattr(SHARED, "ask", die)
    with pytest.raises(Exception, match=r"process that draws figures died\n  why: .*SIGKILL.*\n  fix: "):
        figure.save(tmp_path / "a.svg")
    assert [one.name for one in tmp_path.iterdir()] == ["a.svg"]
    assert (tmp_path / "a.svg").read_text() == "before"
