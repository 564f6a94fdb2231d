"""The page says what the numbers say, only as surely as they do, and hides nothing from anybody."""

import dataclasses
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from atonce.studies.comparison.report import mean_curve, render_comparison
from atonce.studies.comparison.results import (
    ComparedModel,
    ComparisonReport,
    CurvePoint,
    Difference,
    Estimate,
    Gain,
    LengthPart,
    Speeds,
)

EVIL = "</script><script>alert(1)</script>"
SURE, UNSURE = 0.001, 0.4


def difference(value: float, p_value: float = SURE) -> Difference:
    half = 1.0 if p_value == SURE else abs(value) + 1.0
    return Difference(value, value - half, value + half, p_value)


def scored(bleu: float) -> dict[Any, Estimate]:
    return {
        "bleu": Estimate(bleu, bleu - 1, bleu + 1),
        "chrf": Estimate(2 * bleu, 2 * bleu - 1, 2 * bleu + 1),
    }


def model(name: str, bleu: float, *, gain: Gain | None = None, **changes: Any) -> ComparedModel:
    curve = tuple(CurvePoint(step, step / 2, 3.0, 3.0, bleu * step / 10) for step in (10, 20))
    made = ComparedModel(
        name=name.lower(),
        title=name,
        label=name,
        weights=2_400_000,
        dim=128,
        scores=scored(bleu),
        scores_by_seed={"bleu": (bleu - 0.5, bleu + 0.5), "chrf": (2 * bleu, 2 * bleu)},
        by_length=(scored(bleu + 2), scored(bleu - 2)),
        gains={} if gain is None else {"bleu": gain, "chrf": gain},
        speeds=Speeds(700.0, 800, 9000.0, 500.0, 40.0, 1_500_000_000),
        seconds_to_chrf={"20": 95.0},
        curves=(curve, curve),
        runs=(f"{name.lower()}-seed1", f"{name.lower()}-seed2"),
    )
    return dataclasses.replace(made, **changes)


GAIN = Gain(difference(10.0), difference(8.0), difference(14.0), difference(6.0))


def report(*models: ComparedModel, **changes: Any) -> ComparisonReport:
    made = ComparisonReport(
        corpus="Everyday sentences",
        source_language="en",
        target_language="de",
        pairs=250_000,
        test_pairs=1000,
        minutes=12.0,
        steps=None,
        batch_tokens=1536,
        vocabulary=8000,
        beam=4,
        wanted_weights=2_400_000,
        seeds=(1, 2),
        baseline="lstm",
        samples=1000,
        bootstrap_seed=12345,
        signatures={"bleu": "tok:13a|bs:1000", "chrf": "nc:6|bs:1000"},
        lengths=(LengthPart("< 12", 800, False), LengthPart("≥ 12", 200, True)),
        machine="2 cores",
        versions={"atonce": "0.1.0"},
        command="atonce compare shared.toml",
        date="23 November 2026",
        models=models or (model("LSTM", 14.0), model("Transformer", 24.0, gain=GAIN)),
    )
    return dataclasses.replace(made, **changes)


class Page(HTMLParser):
    """The elements of a page and what it says. Complains about tags that do not close in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.charts: list[dict[str, Any]] = []
        self.feed(text)
        self.close()
        assert not self.open
        self.said = re.sub(r"\s+", " ", self.said)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in {"meta", "link", "br", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script" and data.startswith("["):
            self.charts = json.loads(data, parse_constant=pytest.fail)
        elif self.open and self.open[-1] not in ("script", "style"):
            self.said += data


@pytest.fixture(autouse=True)
def without_vega(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making the script takes a second, and test_demo_report.py sees to it."""
    monkeypatch.setattr("atonce.figures.vega.script", lambda use: "")


def page_of(*models: ComparedModel, **changes: Any) -> Page:
    return Page(render_comparison(report(*models, **changes)))


def test_it_opens_with_what_was_found_and_done() -> None:
    said = page_of().said
    for text in (
        "Two architectures on equal terms",
        "The best translations are those of the Transformer: BLEU 24.0 (95 % between 23.0 and 25.0) on 1,000",
        "The Transformer surely beats the LSTM, by 10.0 points of BLEU.",
        "the gain over the LSTM is larger than on shorter ones for it",
        "Two models learned to translate English into German from the same 250,000 pairs of texts, in "
        "12 minutes each from each of 2 seeds, with 2.4 million weights each.",
    ):
        assert text in said


def test_unequal_budgets_allow_no_claim() -> None:
    said = page_of(unequal="The models did not have equal budgets.", slices=12).said
    assert "The models did not have equal budgets." in said
    for claim in ("The best translations", "surely beats", "trains fastest"):
        assert claim not in said
    assert "12 slices of each training" in said


def test_the_budget_that_each_had_is_shown() -> None:
    assert "12 minutes for each training (used: LSTM 11.67, Transformer 11.67)" in page_of().said


def test_what_may_be_chance_is_not_a_finding() -> None:
    unsure = Gain(*(difference(2.0, UNSURE) for _ in range(4)))
    page = page_of(model("LSTM", 14.0), model("Transformer", 16.0, gain=unsure))
    assert "None differs from the LSTM by more than chance could do." in page.said
    assert "grows on long sentences cannot be told from chance" in page.said
    assert "surely beat" not in page.said
    assert not [tag for tag, _ in page.elements if tag == "strong"]


def test_what_is_worse_is_said_to_be() -> None:
    worse = Gain(difference(-3.0))
    said = page_of(model("LSTM", 14.0), model("RNN", 11.0, gain=worse)).said
    assert "Surely worse than the LSTM: RNN." in said
    assert "long sentences cannot" not in said  # it was not measured


@pytest.mark.parametrize(
    ("value", "low", "high", "p_value", "sure"),
    [(2.0, 1.0, 3.0, 0.01, True), (2.0, -0.1, 3.0, 0.01, False), (2.0, 1.0, 3.0, 0.06, False)],
)
def test_a_difference_is_sure_by_interval_and_p_value(
    value: float, low: float, high: float, p_value: float, sure: bool
) -> None:
    assert Difference(value, low, high, p_value).is_sure is sure


def test_one_seed_says_that_it_is_one() -> None:
    once = page_of(seeds=(1,)).said
    assert (
        "Each model was trained once. What another training would have come to, the whiskers do not say."
        in once
    )
    assert "trained once" not in page_of().said


def test_every_chart_has_its_place_and_a_description() -> None:
    page = page_of()
    places = [attributes for _, attributes in page.elements if "data-chart" in attributes]
    assert [int(place["data-chart"] or "") for place in places] == list(range(len(page.charts)))
    # BLEU, chrF; by time, by step; one by length for each model; gains; speed.
    assert len(places) == 2 + 2 + 2 + 1 + 1
    assert all(place["role"] == "img" and place["aria-label"] for place in places)
    assert any("Transformer 24.0 (23.0 to 25.0)" in (place["aria-label"] or "") for place in places)


def test_what_was_not_measured_has_no_section() -> None:
    bare = {"curves": ((), ()), "seconds_to_chrf": {}, "by_length": ()}
    page = page_of(
        model("LSTM", 14.0, **bare), model("RNN", 11.0, gain=Gain(difference(-3.0)), **bare), lengths=()
    )
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == ["quality", "speed", "numbers", "made"]


def test_memory_that_the_system_does_not_tell_is_left_open() -> None:
    speeds = dataclasses.replace(model("a", 1.0).speeds, peak_memory_bytes=None)
    assert "1.50 GB" in page_of().said
    assert "1.50 GB" not in page_of(model("LSTM", 14.0, speeds=speeds)).said


def test_it_loads_nothing_and_its_links_lead_somewhere() -> None:
    page = page_of()
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [(attributes["href"] or "").removeprefix("#") for tag, attributes in page.elements if tag == "a"]
    wanted = [
        attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes
    ]
    assert {*links, *wanted} <= set(ids)


def test_tables_say_what_they_show_and_their_headers_what_they_head() -> None:
    tags = [tag for tag, _ in page_of().elements]
    assert tags.count("table") == tags.count("caption") == 4
    assert all(a.get("scope") in ("row", "col") for tag, a in page_of().elements if tag == "th")


def test_texts_cannot_become_tags() -> None:
    evil = page_of(
        model("LSTM" + EVIL, 14.0), corpus=EVIL, machine=EVIL, command=EVIL, baseline=("LSTM" + EVIL).lower()
    )
    assert [tag for tag, _ in evil.elements].count("script") == 4
    assert EVIL in evil.said


def test_ten_models_have_their_looks_too() -> None:
    models = [model("LSTM", 14.0), *(model(f"m{i}", 15.0 + i, gain=GAIN) for i in range(9))]
    page = page_of(*models)
    assert "10 architectures on equal terms" in page.said
    assert [m.name for m in report(*models).ranked()][:2] == ["m8", "m7"]


def test_a_mean_curve_takes_validations_in_turn() -> None:
    def curve(*points: tuple[int, float, float | None]) -> list[CurvePoint]:
        return [CurvePoint(step, seconds, 1.0, 1.0, chrf) for step, seconds, chrf in points]

    one = curve((10, 60.0, 20.0), (15, 90.0, None), (20, 120.0, 30.0))
    other = curve((12, 72.0, 22.0), (24, 144.0, 34.0), (36, 216.0, 40.0))
    assert mean_curve([one, other], "chrf", "step") == [(11, 21.0), (22, 32.0)]
    assert mean_curve([one, other], "chrf", "time") == [
        (pytest.approx(1.1), 21.0),
        (pytest.approx(2.2), 32.0),
    ]


def test_a_loss_that_ran_away_leaves_the_other_validations_side_by_side() -> None:
    def curve(*losses: float) -> list[CurvePoint]:
        return [CurvePoint(10 * place, 60.0 * place, 1.0, loss) for place, loss in enumerate(losses, 1)]

    found = mean_curve([curve(4.0, math.inf, 2.0), curve(5.0, 4.0, 3.0)], "valid_loss", "step")
    assert found == [(10, 4.5), (30, 2.5)]
