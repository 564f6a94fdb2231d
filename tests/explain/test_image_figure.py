"""One figure of an image, the same in every format; and its data, to the last bit."""

import base64
import io
import json
import re
import sys
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.errors import RunError
from atonce.explain.image_figure import CAUTION, ink_url, percent
from atonce.explain.image_heatmap import ImageHeatmap, classification_heatmap, reading_heatmap
from atonce.explain.influence import IMAGE_OCCLUSION_RULE
from atonce.figures.figure import FORMATS
from atonce.figures.style import DARK, LIGHT

SELF_ATTENTION = {"kind": "transformer", "layers": 2, "heads": 2, "feed_forward": 8}
BEGINS = {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF", ".html": b"<!DOCTYPE html>", ".json": b"{"}


@pytest.fixture
def read(reader_of: Callable[..., ImageReader], picture: np.ndarray) -> ImageHeatmap:
    return reading_heatmap(
        reader_of(decoder=SELF_ATTENTION), picture, target="407", head="all", source="a.png"
    )


@pytest.fixture
def labelled(classifier_of: Callable[..., Classifier], picture: np.ndarray) -> ImageHeatmap:
    classifier = classifier_of(image={"kind": "patches", "size": 2}, encoder=SELF_ATTENTION)
    return classification_heatmap(classifier, picture, target="bee")


def saved(one: ImageHeatmap, path: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which fonts there are is the computer's affair
        one.save(path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(read: ImageHeatmap, labelled: ImageHeatmap, tmp_path: Path, suffix: str) -> None:
    for one in (read, labelled):
        assert saved(one, tmp_path / f"map{suffix}").startswith(BEGINS[suffix])


def texts_of(svg: str) -> list[str]:
    return re.findall(r">([^<>]+)<", svg)


def test_a_reading_has_a_titled_panel_for_each_character_of_each_head(
    read: ImageHeatmap, tmp_path: Path
) -> None:
    svg = saved(read, tmp_path / "map.svg").decode()
    assert svg.count('aria-roledescription="image mark"') + svg.count("<image") >= 8
    assert svg.count('aria-roledescription="rect mark"') == 2 * 4 * (2 * 4)  # heads, characters, cells
    panels = [text for text in texts_of(svg) if text.endswith("%)") and not text.startswith("read")]
    assert [text.partition(" ")[0] for text in panels] == ["4", "0", "7", "‹end›"] * 2
    said = " ".join(texts_of(svg))
    assert CAUTION in said
    assert "read: 407" in said


def test_a_label_has_three_panels_and_says_what_the_numbers_are(
    labelled: ImageHeatmap, tmp_path: Path
) -> None:
    svg = saved(labelled, tmp_path / "map.svg").decode()
    said = " ".join(texts_of(svg))
    for text in (
        CAUTION,
        IMAGE_OCCLUSION_RULE,
        "attention, mean of 2 heads",
        "bee: occlusion",
        "log-probability",
    ):
        assert text in said, text
    assert f"bee ({percent(labelled.probability)})" in said


def test_zero_is_in_the_middle_of_the_occlusion(labelled: ImageHeatmap) -> None:
    spec = json.dumps(labelled.chart().to_dict())
    domains = [
        tuple(map(float, found)) for found in re.findall(r'"domain": \[(-[\d.e-]+), ([\d.e-]+)\]', spec)
    ]
    assert domains
    assert all(low == -high for low, high in domains)


def test_the_data_are_the_maps_to_the_last_bit(
    read: ImageHeatmap, labelled: ImageHeatmap, tmp_path: Path
) -> None:
    data = json.loads(saved(read, tmp_path / "map.json"))
    assert (data["source"], data["output"], data["occlusion"]) == ("a.png", "407", None)
    assert data["image"] == {"height": 6, "width": 16}
    for one, written in zip(read.attention, data["attention"], strict=True):
        assert (written["grid"], written["cell"]) == ([2, 4], [4, 4])
        assert written["panels"] == list(one.panels)
        np.testing.assert_array_equal(np.array(written["weights"], np.float32), one.weights)
    written = json.loads(saved(labelled, tmp_path / "map.json"))["occlusion"]
    assert labelled.occlusion is not None
    np.testing.assert_array_equal(np.array(written["falls"], np.float32), labelled.occlusion.falls)


def test_the_page_has_the_numbers_as_tables(labelled: ImageHeatmap) -> None:
    cells: list[str] = []

    class Cells(HTMLParser):
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "td"

        def handle_data(self, data: str) -> None:
            if self.inside:
                cells.append(data)
            self.inside = False

    Cells().feed("".join(table.html() for table in labelled.tables()))
    assert labelled.occlusion is not None
    numbers = [*labelled.attention[0].weights.flat, *labelled.occlusion.falls.flat]
    assert cells == [f"{number:.3f}" for number in numbers]


def test_ink_is_in_the_colour_of_the_page(read: ImageHeatmap) -> None:
    light, dark = (json.dumps(read.chart(palette).to_dict()) for palette in (LIGHT, DARK))
    urls = [set(re.findall(r"data:image/png;base64,[^\"]+", spec)) for spec in (light, dark)]
    assert len(urls[0]) == len(urls[1]) == 1
    assert urls[0] != urls[1]


def test_a_notebook_gets_a_figure_and_a_picture(read: ImageHeatmap) -> None:
    bundle = read._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg ")
    assert bundle["text/plain"] == "<ImageHeatmap of model: 'a.png' → '407'>"


@pytest.mark.parametrize(
    ("probability", "written"),
    [(0.0, "0.0%"), (1e-6, "< 0.1%"), (0.5, "50.0%"), (0.99999, "> 99.9%"), (1.0, "100.0%")],
)
def test_nothing_is_rounded_to_certainty(probability: float, written: str) -> None:
    assert percent(probability) == written


Image = pytest.importorskip("PIL.Image")


def test_ink_is_as_opaque_as_the_image_and_of_one_colour() -> None:
    image = np.array([[0, 255, 7], [128, 1, 254]], dtype=np.uint8)
    head, _, data = ink_url(image, "#10a0ff").partition(",")
    assert head == "data:image/png;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    factor = picture.shape[0] // image.shape[0]
    assert picture.shape == (2 * factor, 3 * factor, 4)
    np.testing.assert_array_equal(picture[..., 3], np.kron(image, np.ones((factor, factor))))
    assert (picture[..., :3] == (0x10, 0xA0, 0xFF)).all()


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RunError, match="pillow") as raised:
        ink_url(np.zeros((2, 3), dtype=np.uint8), "#000000")
    assert raised.value.fix == "pip install 'atonce[vision]'"
