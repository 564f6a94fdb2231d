"""What a translation shows of the model that made it, in a notebook or when asked."""

import copy
import dataclasses
import pickle

import pytest

from atonce.decoding.translation import Translation
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.explain.text_heatmap import translation_heatmap


@pytest.fixture(scope="module")
def model(dates_run) -> Translator:
    return Translator.load(dates_run.path)


@pytest.fixture
def found(model: Translator) -> Translation:
    return model.translate("3 May 1999")


def test_a_translation_shows_what_was_looked_at(model: Translator, found: Translation) -> None:
    shown = found._repr_mimebundle_()
    expected = translation_heatmap(model, "3 May 1999", target=found.text)._repr_mimebundle_()
    (chart,) = (kind for kind in shown if "vegalite" in kind)
    assert shown.keys() == expected.keys()
    assert shown[chart] == expected[chart]
    assert shown["image/svg+xml"].startswith("<svg")
    assert shown["text/plain"] == repr(found)


def test_a_translation_of_nothing_is_plain(model: Translator) -> None:
    found = model.translate("")
    assert found._repr_mimebundle_() == {"text/plain": repr(found)}


def test_a_heat_map_with_options(model: Translator, found: Translation) -> None:
    expected = translation_heatmap(model, "3 May 1999", target=found.text, head="all", words=False)
    assert found.heatmap(head="all", words=False).to_dict() == expected.to_dict()


def test_who_made_it_is_neither_compared_nor_printed(dates_run) -> None:
    one, other = (Translator.load(dates_run.path).translate("3 May 1999") for _ in range(2))
    assert one == other
    assert "Translator" not in repr(one)


def test_no_field_holds_the_model(found: Translation) -> None:
    assert len(pickle.dumps(found)) < 1_000
    assert dataclasses.asdict(found).keys() == {"text", "score", "alternatives", "source"}
    assert found.source == "3 May 1999"


@pytest.mark.parametrize(
    "again",
    [lambda found: pickle.loads(pickle.dumps(found)), copy.copy, copy.deepcopy, dataclasses.replace],
    ids=["pickled", "copied", "deeply copied", "replaced"],
)
def test_without_its_model_a_translation_says_what_to_do(found: Translation, again) -> None:
    bare = again(found)
    assert bare == found
    assert bare.source == found.source
    assert bare._repr_mimebundle_() == {"text/plain": repr(found)}
    with pytest.raises(RunError) as error:
        bare.heatmap()
    assert len(str(error.value).splitlines()) == 3
    assert "atonce.heatmap(model, translation.source, target=translation.text)" in str(error.value)
