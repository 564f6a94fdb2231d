"""The report is one page that loads nothing, hides nothing from anybody, and takes no text for a tag."""

import dataclasses
import itertools
import json
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from atonce.studies.comparison.results import CurvePoint, Speeds
from atonce.studies.demo_report import DemoModel, DemoReport, render_demo

VOID = {"meta", "link", "br", "wbr"}
EVIL = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """The elements of a page, with what they say. Complains about tags that do not close in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((("", *(name for name, _ in self.open)), data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self, tag: str) -> str:
        return " ".join(data for path, data in self.texts if tag in path)

    @property
    def charts(self) -> list[dict[str, Any]]:
        charts = next(data for path, data in self.texts if path[-1] == "script" and data.startswith("["))
        parsed: list[dict[str, Any]] = json.loads(charts, parse_constant=pytest.fail)
        return parsed


def heatmap(word: str) -> dict[str, Any]:
    return {
        "title": {"text": ["the run"], "subtitle": ["decoder.attention", "how tokens became words"]},
        "data": {"values": [{"word": word, "weight": float("nan")}, {"word": word, "weight": 0.5}]},
        "mark": "rect",
        "encoding": {"x": {"field": "word"}, "color": {"field": "weight", "type": "quantitative"}},
    }


def model(name: str, *, bleu: float, speed: float, label: str = "", evil: str = "") -> DemoModel:
    return DemoModel(
        name=name.lower(),
        title=name + evil,
        label=label or name,
        weights=2_400_000,
        speeds=Speeds(180.0, 800, speed, 500.0, 40.0, None),
        padding_share=0.031,
        scores={"bleu": bleu, "chrf": 2 * bleu, "ter": 90 - bleu, "exact": bleu / 2},
        signatures={key: f"{key} signature{evil}" for key in ("bleu", "chrf", "ter", "exact")},
        curves=(
            (
                CurvePoint(step=1, seconds=0.2, train_loss=9.0),
                CurvePoint(step=400, seconds=90.0, train_loss=4.0, valid_loss=4.2, chrf=20.0),
                CurvePoint(step=800, seconds=180.0, train_loss=3.0, valid_loss=3.5, chrf=40.0),
            ),
        ),
        outputs=(f"Das Gerät ist bereit.{evil}", ""),
        heatmaps=(heatmap("Gerät" + evil),),
        dark_heatmaps=(heatmap("Gerät" + evil),),
        runs=("runs/demo/" + name + evil,),
    )


def report(evil: str = "", **changes: Any) -> DemoReport:
    made = DemoReport(
        title="From English to German" + evil,
        corpus="Real user-interface strings" + evil,
        source_language="en",
        target_language="de",
        pairs=23_800,
        test_pairs=2900,
        minutes=3.0,
        machine="2 cores" + evil,
        date="2026-11-21",
        models=(
            model("GRU with attention", bleu=21.2, speed=6000.0, label="GRU", evil=evil),
            model("Transformer", bleu=27.3, speed=15000.0, evil=evil),
        ),
        examples=(("The device is ready." + evil, "Das Gerät ist bereit." + evil), ("Light", "Licht")),
        heatmap_sentences=("The device is ready." + evil,),
        next_commands=("atonce translate runs/demo/transformer" + evil,),
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def html() -> str:
    return render_demo(report())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def without_vega(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making the script takes a second, and where charts are not the matter nobody needs it."""
    monkeypatch.setattr("atonce.figures.vega.script", lambda use: "")


# One page, which loads nothing


def test_the_page_loads_nothing(page: Page) -> None:
    links = [attributes["href"] for tag in ("a", "link") for attributes in page.all(tag)]
    assert all(link is not None and (link.startswith("#") or link == "data:,") for link in links)
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    style = page.said("style")
    assert "url(" not in style
    assert "@import" not in style
    rule = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert rule is not None
    assert rule.startswith("default-src 'none'")
    assert "http" not in rule


def test_the_script_that_draws_is_there_once(html: str) -> None:
    assert html.count("window.vegaEmbed=") == 1


def test_every_chart_is_shown_and_every_place_has_a_chart(page: Page) -> None:
    places = [
        int(attributes["data-chart"] or "") for _, attributes in page.elements if "data-chart" in attributes
    ]
    # Loss and chrF by time and by step; a heat map of each model, light and dark.
    assert sorted(places) == list(range(len(page.charts))) == list(range(4 + 4))


def test_the_same_results_make_the_same_page(html: str) -> None:
    assert render_demo(report()) == html


def test_a_number_that_is_none_leaves_the_charts_readable(page: Page) -> None:
    assert {"word": "Gerät", "weight": None} in page.charts[-1]["data"]["values"]


def test_importing_the_report_waits_for_nothing_slow() -> None:
    slow = "{'torch', 'altair', 'jinja2', 'vl_convert', 'sacrebleu', 'babel'}"
    code = f"import sys, atonce.studies.demo_report; print(*sorted({slow} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == ""


# Text is never taken for a tag


@pytest.mark.usefixtures("without_vega")
def test_texts_cannot_become_tags() -> None:
    evil = Page(render_demo(report(EVIL)))
    assert len(evil.all("script")) == 4
    assert "alert" not in [data for path, data in evil.texts if path[-1] == "script"][-1]
    for place in ("title", "h1", "header", "table", "blockquote", "code", "figcaption"):
        assert EVIL in evil.said(place)
    assert evil.charts[-1]["data"]["values"][1]["word"] == "Gerät" + EVIL


# For everybody


def test_the_page_has_headings_in_order_and_one_title(page: Page) -> None:
    headings = [name for name, _ in page.elements if name in ("h1", "h2", "h3", "h4")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    levels = [int(heading[1]) for heading in headings]
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    assert page.all("html") == [{"lang": "en"}]


def test_ids_are_unique_and_links_and_labels_find_them(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    wanted += [(a["href"] or "").removeprefix("#") for a in page.all("a")]
    assert set(wanted) <= set(ids)


def test_table_headers_say_what_they_head(page: Page) -> None:
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))


def test_charts_are_described(page: Page) -> None:
    descriptions = [a["aria-label"] for _, a in page.elements if a.get("role") == "img"]
    assert (
        "Line chart. Validation loss by time: GRU from 4.20 to 3.50; Transformer from 4.20 to 3.50."
        in descriptions
    )
    assert "Heat map: attention of Transformer while it translates “The device is ready.”" in descriptions


def test_what_a_heat_map_is_of_stands_beside_it_as_text(page: Page) -> None:
    assert "decoder.attention\nhow tokens became words" in page.said("figcaption")
    assert "title" not in page.charts[-1]


def test_texts_say_their_language_and_find_their_direction(page: Page) -> None:
    languages = [a.get("lang") for a in page.all("span") if a.get("dir") == "auto"]
    # Sources and the sentence of the heat maps; references, and outputs that are not empty.
    assert languages.count("en") == 3
    assert languages.count("de") == 4


@pytest.mark.usefixtures("without_vega")
def test_texts_of_many_languages_say_none() -> None:
    several = Page(render_demo(report(source_language=None, target_language=None)))
    spans = [attributes for attributes in several.all("span") if attributes.get("dir") == "auto"]
    assert spans
    assert not [attributes for attributes in spans if "lang" in attributes]
    assert "Two models learned from 23,800 pairs of texts" in several.said("header")


# What it says


def test_it_opens_with_what_was_done_and_found(page: Page) -> None:
    opening = page.said("header")
    assert (
        "Two models learned to translate English into German from 23,800 pairs of texts, in 3 minutes each, "
        "on 2 cores." in opening
    )
    assert (
        "The Transformer translates best: BLEU 27.3 against 21.2 for the GRU with attention, on 2,900 pairs "
        "that were kept out of training. It also trains 2.5 times as fast, counted in tokens per second."
        in opening
    )


@pytest.mark.usefixtures("without_vega")
@pytest.mark.parametrize(
    ("models", "finding"),
    [
        ([("A", 27.31, 10.0), ("B", 27.29, 10.2)], "The A and the B score alike: BLEU 27.3"),
        ([("A", 27.31, 10.0), ("B", 27.29, 10.2)], "Both train equally fast."),
        ([("A", 20.0, 30.0), ("B", 25.0, 10.0)], "The A trains 3.0 times as fast, counted"),
        ([("A", 20.0, 30.0)], "The A reaches BLEU 20.0 on 2,900 pairs"),
        ([("A", 20.0, 0.0), ("B", 25.0, 10.0)], "The B translates best"),
        (
            [("A", 20.0, 30.0), ("B", 25.0, 10.0), ("C", 1.0, 20.0)],
            "The A trains 3.0 times as fast as the B, counted",
        ),
    ],
)
def test_it_says_who_did_better_only_where_somebody_did(
    models: list[tuple[str, float, float]], finding: str
) -> None:
    made = tuple(model(name, bleu=bleu, speed=speed) for name, bleu, speed in models)
    assert finding in render_demo(report(models=made))


@pytest.mark.usefixtures("without_vega")
def test_unequal_budgets_allow_no_claim() -> None:
    unequal = Page(render_demo(report(unequal="The models did not have equal budgets.", slices=12)))
    opening = unequal.said("header")
    assert "The models did not have equal budgets." in opening
    for claim in ("translates best", "times as fast", "scores alike"):
        assert claim not in opening
    assert not [data for path, data in unequal.texts if path[-1] == "strong"]
    assert "is bold" not in unequal.said("p")
    assert "in 3 minutes each, taken in turn in 12 slices" in opening


def test_the_budget_that_each_had_is_shown(page: Page) -> None:
    assert page.said("table").count("3.00 min") == 2


def test_the_best_score_of_each_column_is_bold_also_where_less_is_better(page: Page) -> None:
    bold = [data for path, data in page.texts if path[-1] == "strong"]
    assert bold == ["27.3", "54.6", "62.7", "13.7"]


def test_signatures_stand_beside_the_meaning_of_scores(page: Page) -> None:
    for key in ("bleu", "chrf", "ter", "exact"):
        assert f"{key} signature" in page.said("details")


def test_words_of_the_reference_are_marked_and_equal_outputs_are_told(page: Page) -> None:
    marked = [data for path, data in page.texts if path[-1] == "mark" and "table" in path]
    assert marked == ["Das Gerät ist bereit."] * 2
    assert page.said("table").count("equal") == 3  # both, and the signature's meaning
    assert page.said("table").count("nothing") == 2


@pytest.mark.usefixtures("without_vega")
def test_what_was_not_made_has_no_section() -> None:
    bare = tuple(
        dataclasses.replace(one, curves=((),), outputs=(), heatmaps=(), dark_heatmaps=())
        for one in report().models
    )
    shown = Page(render_demo(report(models=bare, examples=(), heatmap_sentences=())))
    sections = [attributes["id"] for attributes in shown.all("section")]
    assert sections == ["scores", "speed", "next"]
    assert shown.charts == []


@pytest.mark.usefixtures("without_vega")
def test_light_heat_maps_do_where_there_are_no_dark_ones() -> None:
    light = tuple(dataclasses.replace(one, dark_heatmaps=()) for one in report().models)
    shown = Page(render_demo(report(models=light)))
    assert len(shown.charts) == 4 + 2
    assert not [a for a in shown.all("div") if "on-light" in (a.get("class") or "")]


@pytest.mark.usefixtures("without_vega")
def test_losses_that_ran_away_are_left_out_of_the_curves() -> None:
    lost = CurvePoint(step=900, seconds=200.0, train_loss=float("nan"), valid_loss=float("nan"), chrf=0.0)
    run_away = tuple(dataclasses.replace(one, curves=((*one.curves[0], lost),)) for one in report().models)
    shown = Page(render_demo(report(models=run_away)))
    assert "from 4.20 to 3.50" in str([a.get("aria-label") for a in shown.all("div")])
