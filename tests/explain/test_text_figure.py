"""One figure, the same in every format; and no way of saving it that loses what was there."""

import errno
import json
import os
import re
import warnings

import numpy as np
import pytest

from atonce.errors import DiskError, RecipeError
from atonce.explain.text_heatmap import Heatmap
from atonce.explain.words import MERGE_RULE, AttentionMap
from atonce.figures.figure import FORMATS

SOURCE = ("the", "dog", "saw", "the", "cat", "‹end›")
OUTPUT = ("der", "Hund", "sah", "die", "Katze", "‹end›")


def attention(rows=OUTPUT, columns=SOURCE, *, seed=0, title="decoder.attention, mean of 4 heads"):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(columns)) * 0.3, len(rows)).astype(np.float32)
    return AttentionMap(tuple(rows), tuple(columns), weights, title, MERGE_RULE)


def heatmap(*maps, model="runs/demo/gru"):
    maps = maps or (attention(),)
    return Heatmap(maps, source=" ".join(maps[0].columns), output=" ".join(maps[0].rows), model=model)


def saved(one, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which fonts there are is the computer's affair
        one.save(path)
    return path.read_bytes()


def svg_of(one, tmp_path):
    return saved(one, tmp_path / "map.svg").decode()


def test_a_picture_is_a_picture(tmp_path):
    assert saved(heatmap(), tmp_path / "a.png").startswith(b"\x89PNG\r\n\x1a\n")
    assert saved(heatmap(), tmp_path / "a.pdf").startswith(b"%PDF-")
    assert saved(heatmap(), tmp_path / "a.SVG").startswith(b"<svg ")


def test_a_picture_shows_the_weights(tmp_path):
    first, again, other = (
        saved(heatmap(attention(seed=seed)), tmp_path / f"{i}.png") for i, seed in enumerate([0, 0, 1])
    )
    assert len(first) > 10_000
    assert first == again
    assert first != other


def test_words_titles_and_rule_stand_on_the_figure(tmp_path):
    svg = svg_of(heatmap(), tmp_path)
    for text in {*SOURCE, *OUTPUT, "runs/demo/gru", "decoder.attention, mean of 4 heads", MERGE_RULE}:
        assert f">{text}<" in svg, text
    assert ">attention weight<" in svg
    assert ">0<" in svg
    assert ">1<" in svg


def test_a_word_that_occurs_twice_keeps_a_column_for_each(tmp_path):
    svg = svg_of(heatmap(), tmp_path)
    assert len(re.findall(">the<", svg)) == 2
    assert len(re.findall('aria-roledescription="rect mark"', svg)) == len(SOURCE) * len(OUTPUT)


def test_weights_stand_in_the_cells_of_a_small_map_only(tmp_path):
    def numbers(one):
        return re.findall(r'"text mark"[^>]*>([\d.]+)</text>', svg_of(heatmap(one), tmp_path))

    small = attention()
    assert numbers(small) == [f"{weight:.2f}" for weight in small.weights.flat if weight >= 0.005]
    assert numbers(attention(rows=tuple(f"w{i}" for i in range(13)))) == []


def label_places(svg, words):
    """Where the words of a figure stand: x and y of each, by the moves that lead to it."""
    found = re.findall(r'transform="translate\(([-\d.]+),([-\d.]+)\)[^>]*>([^<]+)</text>', svg)
    return {text: (float(x), float(y)) for x, y, text in found if text in words}


def test_rows_run_downwards_and_columns_along_the_reading(tmp_path):
    rows, columns = ("r0", "r1", "r2"), ("c0", "c1", "c2")
    places = label_places(svg_of(heatmap(attention(rows, columns)), tmp_path), {*rows, *columns})
    assert places["r0"][1] < places["r1"][1] < places["r2"][1]
    assert places["c0"][0] < places["c1"][0] < places["c2"][0]


def test_a_source_from_right_to_left_is_laid_out_so(tmp_path):
    columns = ("ההתקן", "כבר", "מוגדר")
    svg = svg_of(heatmap(attention(("a", "b"), columns)), tmp_path)
    places = label_places(svg, columns)
    assert places[columns[0]][0] > places[columns[1]][0] > places[columns[2]][0]
    assert "source (right to left)" in svg


def test_the_figure_grows_with_the_sentence(tmp_path):
    def width(words):
        svg = svg_of(heatmap(attention(columns=tuple(f"word{i}" for i in range(words)))), tmp_path)
        return float(re.search(r'width="([\d.]+)"', svg)[1])

    assert width(110) > 110 * 12  # every word has a line of its own, at a size that can be read
    assert width(60) > width(30)


def test_a_grid_says_once_what_its_maps_share(tmp_path):
    maps = [attention(seed=head, title=f"decoder.2, cross, head {head} of 8") for head in range(1, 9)]
    svg = svg_of(heatmap(*maps), tmp_path)
    assert svg.count(">decoder.2, cross<") == 1
    assert svg.count(f">{MERGE_RULE}<") == 1
    assert svg.count(">attention weight<") == 1
    assert all(svg.count(f">head {head} of 8<") == 1 for head in range(1, 9))
    assert len(re.findall('aria-roledescription="rect mark"', svg)) == 8 * len(SOURCE) * len(OUTPUT)


def test_maps_of_different_words_each_show_their_own(tmp_path):
    encoder = attention(SOURCE, SOURCE, title="encoder.0, head 1")
    svg = svg_of(heatmap(attention(title="decoder.0, head 1"), encoder), tmp_path)
    assert svg.count(">cat<") == 3
    assert svg.count(">Katze<") == 1
    assert ">decoder.0, head 1<" in svg


@pytest.mark.parametrize(
    "words",
    [
        "今日 は 良い 天気 です",
        "تم تكوين الجهاز",
        "डिवाइस पहले से",
        "</script><b>&\"'\\ {{x}} datum.value 😀",
        "x" * 300,
    ],
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_any_words_can_be_saved_as_anything(words, suffix, tmp_path):
    one = heatmap(attention(words.split(), tuple(words.split()[::-1])), model=words)
    assert len(saved(one, tmp_path / f"map{suffix}")) > 100


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_looked_at_and_nothing_written_are_drawn_too(suffix, tmp_path):
    silent = AttentionMap(("a", "b"), ("c",), np.array([[0.0], [np.nan]], np.float32), "silent", "")
    assert saved(heatmap(silent), tmp_path / f"silent{suffix}")
    empty = AttentionMap((), ("c",), np.zeros((0, 1), np.float32), "empty", "")
    assert saved(heatmap(empty), tmp_path / f"empty{suffix}")


def test_a_heat_map_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Heatmap((), source="a", output="b", model="model")


def test_data_read_back_is_the_same_to_the_last_bit(tmp_path):
    one = heatmap(attention(seed=3), attention(SOURCE, SOURCE, seed=4, title="encoder"))
    data = json.loads(saved(one, tmp_path / "map.json"))
    assert (data["model"], data["source"], data["output"]) == (one.model, one.source, one.output)
    for read, written in zip(data["maps"], one.maps, strict=True):
        assert (tuple(read["rows"]), tuple(read["columns"])) == (written.rows, written.columns)
        assert (read["title"], read["rule"]) == (written.title, written.rule)
        np.testing.assert_array_equal(np.array(read["weights"], np.float32), written.weights)


def test_a_notebook_gets_a_figure_and_a_picture_and_loads_nothing():
    bundle = heatmap()._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg ")
    (spec,) = (value for kind, value in bundle.items() if kind.startswith("application/vnd.vegalite.v"))
    assert len(spec["datasets"]["cells_0"]) == len(SOURCE) * len(OUTPUT)
    assert "'the dog saw the cat" in bundle["text/plain"]
    assert "text/html" not in bundle


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.png.txt"])
def test_an_unknown_ending_names_the_known_ones(name, tmp_path):
    with pytest.raises(RecipeError) as error:
        heatmap().save(tmp_path / name)
    assert name in error.value.what
    assert error.value.fix == "end the name in one of .png, .svg, .pdf, .html, .json"
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "map.json"
    before = saved(heatmap(), path)
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(DiskError, match=r"map\.json[\s\S]*No space left on device"):
        heatmap(attention(seed=9)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_made(tmp_path):
    heatmap().save(tmp_path / "new" / "map.json")
    assert json.loads((tmp_path / "new" / "map.json").read_text())["maps"]


def test_a_file_in_the_place_of_the_folder_is_the_readers_to_mend(tmp_path):
    (tmp_path / "taken").write_text("not a folder")
    with pytest.raises(DiskError, match=r"cannot write .*taken[\s\S]*fix: .*another place"):
        heatmap().save(tmp_path / "taken" / "map.json")
