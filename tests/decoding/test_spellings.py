"""The same text spelt otherwise has the same output, at every door; old runs stay as they were."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import tiny
from atonce.data.io_spec import IOSpec
from atonce.decoding.translator import Translator
from atonce.errors import RunError
from atonce.explain.context import context
from atonce.explain.scoring import confidence
from atonce.explain.text_heatmap import translation_heatmap
from atonce.runs.folder import RunFolder
from atonce.studies.experiment import evaluate
from atonce.training.train import _open_run

TEXT = "3. März 2001"
OTHERS = [
    unicodedata.normalize("NFD", TEXT),
    "3.  März 2001",
    "3.\u00a0März\u20032001",
    " \u30003. März\t2001\u200b ",
    "\ufeff3. Mä\u00adrz 2001",
]


@pytest.fixture(scope="module")
def translator(dates_run: RunFolder) -> Translator:
    return Translator.load(dates_run.path)


@pytest.mark.parametrize("other", OTHERS)
def test_every_way_to_ask(translator: Translator, other: str) -> None:
    expected, found = (
        translator.translate([TEXT], beam=3, nbest=3)[0],
        translator.translate([other], beam=3, nbest=3)[0],
    )
    assert found == expected
    assert found.source == other, "what was given"
    assert translator.translate([other] * 20, beam=3) == translator.translate([TEXT] * 20, beam=3)
    assert translator.stream(other, lambda _: None) == translator.stream(TEXT, lambda _: None)
    assert translator.hypotheses(other) == translator.hypotheses(TEXT)
    assert translator.source_tokens(other, without=[1]) == translator.source_tokens(TEXT, without=[1])
    assert translator.prefix_tokens(other) == translator.prefix_tokens(TEXT)
    assert translator.target_tokens(other) == translator.target_tokens(TEXT)
    assert confidence(translator, other, other) == confidence(translator, TEXT, TEXT)
    ours, theirs = (
        translation_heatmap(translator, TEXT, target=TEXT),
        translation_heatmap(translator, other, target=other),
    )
    assert theirs.source == other
    assert theirs.maps[0].rows == ours.maps[0].rows
    assert theirs.maps[0].columns == ours.maps[0].columns
    assert np.array_equal(theirs.maps[0].weights, ours.maps[0].weights)


def test_texts_in_segments(translator: Translator) -> None:
    long = " ".join([TEXT] * 80)
    assert translator.in_segments(long)
    other = long.replace("ä", "a\u0308").replace(" 3", "\u2003 3")
    assert translator.outputs([other], beam=1) == translator.outputs([long], beam=1)


def test_what_has_no_width_is_blank(translator: Translator) -> None:
    blanks = ["", " ", "\u200b", "\ufeff \u00a0\u00ad"]
    assert translator.outputs(blanks) == [""] * 4
    assert all(map(translator.is_blank, blanks))


def test_uses_of_a_word(translator: Translator) -> None:
    sentences = ["am 3. März 2001", "der März ist hier"]
    others = [unicodedata.normalize("NFD", text).replace(" ", "\u00a0") for text in sentences]
    one, other = context(translator, "März", sentences), context(translator, "Ma\u0308rz", others)
    assert [use.marked for use in other.uses] == [use.marked for use in one.uses]
    assert all(np.array_equal(one.vectors[name], other.vectors[name]) for name in one.vectors)


def test_references_are_the_same_text_too_and_that_is_told(dates_run: RunFolder, tmp_path: Path) -> None:
    source, plain, other = (tmp_path / name for name in ("source", "plain", "other"))
    source.write_text("\n".join([TEXT, "x", "y"]), encoding="utf-8")
    plain.write_text("\n".join([TEXT, "ein Wort", "zwei"]), encoding="utf-8")
    other.write_text("\n".join([OTHERS[0], "ein\u00a0 Wort", "zwei "]), encoding="utf-8")
    expected = evaluate(dates_run.path, source=source, reference=plain)
    found = evaluate(dates_run.path, source=source, reference=other)
    assert found.scores == expected.scores
    assert (expected.references_respelt, found.references_respelt) == (0, 2)
    assert "references_respelt" not in expected.to_dict()
    assert found.to_dict()["references_respelt"] == 2


@pytest.fixture
def old_run(dates_run: RunFolder, tmp_path: Path) -> Path:
    """As it was written when there was no normalization: no key, no rule in the tokenizer, and no sums."""
    run = tmp_path / "old"
    shutil.copytree(dates_run.path, run)
    recipe = run / "recipe.toml"
    lines = recipe.read_text(encoding="utf-8").splitlines()
    recipe.write_text(
        "\n".join(line for line in lines if not line.startswith("normalization")), encoding="utf-8"
    )
    model = (run / "tokenizer.model").read_bytes()
    assert model.endswith(b"\x1a\x0c\x0a\x0aatonce-nfc")
    (run / "tokenizer.model").write_bytes(model.removesuffix(b"\x1a\x0c\x0a\x0aatonce-nfc"))
    (run / "sums.json").unlink()
    return run


def test_a_run_from_before_reads_texts_as_they_are(old_run: Path, tmp_path: Path) -> None:
    assert RunFolder.open(old_run).recipe.vocabulary.normalization == "none"
    old = Translator.load(old_run)
    for text in (TEXT, *OTHERS):
        assert old.tokenizer.decode(old.source_tokens(text)) == text
    assert old.outputs(["\u200b", " "])[1] == ""
    for name, text in (("s", TEXT), ("r", OTHERS[0])):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert evaluate(old_run, source=tmp_path / "s", reference=tmp_path / "r").references_respelt == 0


def test_a_run_from_before_is_resumed_by_the_recipe_it_had(old_run: Path) -> None:
    assert _open_run(tiny.recipe(), old_run, resume=True).recipe.vocabulary.normalization == "none"
    with pytest.raises(RunError, match="not the one"):
        _open_run(tiny.recipe(vocabulary={"normalization": "nfc"}), old_run, resume=True)


def test_both_ends_have_one_rule(dates_run: RunFolder) -> None:
    ends = IOSpec.open(dates_run.path)
    assert ends.tokenizer.normalization == dates_run.recipe.vocabulary.normalization == "nfc"
