"""The page stands alone: it loads nothing, and whoever cannot see the drawing can read the numbers."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from atonce.explain.text_heatmap import Heatmap
from atonce.explain.words import AttentionMap

ROWS, COLUMNS = ("der", "</script><b>", "der"), ("the", 'a&"b', "‹end›", "the")


def attention(title="decoder.attention, head 1"):
    weights = np.random.default_rng(0).dirichlet(np.ones(4), 3).astype(np.float32)
    return AttentionMap(ROWS, COLUMNS, weights, title, "The rule.")


class Outline(HTMLParser):
    """Every element of a page with its attributes and its text."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in self.VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        assert self.elements[self.open[-1]][0] == tag, f"</{tag}> closes {self.elements[self.open[-1]][0]}"
        self.open.pop()

    def handle_data(self, data):
        for place in self.open[-1:]:
            self.elements[place][2].append(data)

    def texts(self, tag):
        return ["".join(text) for name, _, text in self.elements if name == tag]


@pytest.fixture(scope="module")
def outline():
    one = Heatmap((attention(),), source="the a&b the", output="der </script><b> der", model="runs/<demo>")
    return Outline(one.to_page())


def test_every_element_is_closed(outline):
    assert outline.open == []


def test_the_page_loads_nothing(outline):
    for tag, attributes, _ in outline.elements:
        assert not {"src", "href", "srcset", "data", "action"} & set(attributes), tag
    (policy,) = (a["content"] for tag, a, _ in outline.elements if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "@import" not in "".join(outline.texts("style"))
    assert "url(" not in "".join(outline.texts("style"))


def test_the_page_says_what_it_is(outline):
    assert outline.elements[0][1] == {"lang": "en"}
    assert outline.texts("title") == ["What runs/<demo> looked at"]
    assert outline.texts("dd") == ["the a&b the", "der </script><b> der"]
    (drawing,) = (a for tag, a, _ in outline.elements if a.get("class") == "drawing")
    assert drawing["role"] == "img"
    assert "decoder.attention, head 1" in drawing["aria-label"]


def test_the_table_has_every_word_and_weight(outline):
    assert outline.texts("th")[1:] == [*COLUMNS, *ROWS]
    assert outline.texts("td") == [f"{weight:.3f}" for weight in attention().weights.flat]
    assert outline.texts("caption") == ["decoder.attention, head 1 "]
    scopes = [a.get("scope") for tag, a, _ in outline.elements if tag == "th"]
    assert scopes == [None, *["col"] * 4, *["row"] * 3]


def test_the_figure_is_there_light_and_dark_with_its_data_once(outline):
    data, code = outline.texts("script")
    figure = json.loads(data)
    assert figure["light"]["config"]["background"] != figure["dark"]["config"]["background"]
    assert "datasets" not in figure["light"] | figure["dark"]
    cells = figure["datasets"]["cells_0"]
    assert [(cell["row"], cell["column"]) for cell in cells] == list(np.ndindex(3, 4))
    assert "prefers-color-scheme: dark" in code
    assert len(code) > 500_000


def test_hovering_tells_row_column_and_weight(outline):
    light = json.loads(outline.texts("script")[0])["light"]
    tooltips = [tip["title"] for tip in light["layer"][0]["encoding"]["tooltip"]]
    assert tooltips == ["output", "source", "weight"]


def test_several_figures_share_a_page_and_one_script():
    one = Heatmap((attention(), attention("head 2")), source="source", output="output", model="model")
    outline = Outline(f"<main>{one.to_html()}{one.to_html()}</main>")
    assert outline.open == []
    assert len(outline.texts("script")) == 2
    assert len(outline.texts("table")) == 4
