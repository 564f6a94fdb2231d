"""What a notebook shows of a translation."""

from atonce.decoding.load import load_translator
from atonce.explain.texts.translation import heatmap


def test_a_translation_shows_what_was_looked_at(dates_run) -> None:
    model = load_translator(dates_run.path)
    (found,) = model.translate(["3 May 1999"])
    shown = found._repr_mimebundle_()
    expected = heatmap(model, "3 May 1999", target=found.text)._repr_mimebundle_()
    (chart,) = (kind for kind in shown if "vegalite" in kind)
    assert shown.keys() == expected.keys()
    assert shown[chart] == expected[chart]
    assert shown["image/svg+xml"].startswith("<svg")
    assert shown["text/plain"] == repr(found)


def test_a_translation_of_nothing_is_plain(dates_run) -> None:
    (found,) = load_translator(dates_run.path).translate([""])
    assert found._repr_mimebundle_() == {"text/plain": repr(found)}


def test_who_made_it_is_neither_compared_nor_printed(dates_run) -> None:
    one, other = (load_translator(dates_run.path).translate(["3 May 1999"])[0] for _ in range(2))
    assert one == other
    assert "Translator" not in repr(one)
