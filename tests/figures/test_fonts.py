"""Words of every script get fonts that suit them, and a warning where there are none."""

import warnings

import pytest

from atonce.figures import fonts


@pytest.mark.parametrize(
    ("sentence", "word", "first"),
    [
        ("the device", 0, "Helvetica Neue"),
        ("設定 を 変更", 0, "Noto Sans CJK JP"),
        ("设备 已 就绪", 0, "Noto Sans CJK SC"),
        ("장치 설정 完了", 0, "Noto Sans CJK KR"),
        ("تم تكوين Wi-Fi", 0, "Noto Naskh Arabic"),
        ("تم تكوين Wi-Fi", 2, "Helvetica Neue"),
        ("ההתקן מוגדר", 1, "Noto Sans Hebrew"),
        ("設定 を 変更 。", 3, "Noto Sans CJK JP"),
        ("Ελληνικά и 1 + ‹end›", 0, "Helvetica Neue"),
        ("ქართული", 0, "Noto Sans"),
    ],
)
def test_the_family_that_suits_the_sentence_comes_first(sentence, word, first):
    assert fonts.families_for(sentence.split())[word].split(", ")[0] == first


def test_every_list_of_families_ends_in_one_that_always_exists():
    # The renderer leaves a text out altogether if it has none of the families it names.
    for families in fonts.families_for(["a", "ع", "中", "क", "ქ"]):
        assert families.endswith("sans-serif")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("שלום עולם", True), ("تم عبر Wi-Fi", True), ("Wi-Fi", False), ("the word שלום", False), ("", False)],
)
def test_direction_is_that_of_most_letters(text, expected):
    assert fonts.is_right_to_left(text) == expected


def test_what_the_renderer_brings_along_is_drawable_everywhere():
    assert fonts.undrawable("Straße, naïve → 100 €‹end›\u0301 \n") == []


def test_a_character_that_looks_like_a_missing_one_is_undrawable(monkeypatch):
    shapes = {"\U0010ffff": b"box", "中": b"box", "é": b"e with accent"}
    monkeypatch.setattr(fonts, "_drawn", shapes.__getitem__)
    fonts._is_drawable.cache_clear()
    try:
        assert fonts.undrawable("中é a中") == ["中"]
    finally:
        fonts._is_drawable.cache_clear()


@pytest.mark.parametrize(
    ("character", "package"),
    [
        *((character, "fonts-noto-cjk") for character in "中。ア한"),
        *((character, "fonts-noto-core") for character in "اक।"),
        *((character, "fonts-dejavu-core") for character in "⟨ẞ"),
        ("😀", "fonts-noto-color-emoji"),
    ],
)
def test_a_missing_font_is_named_with_its_package(monkeypatch, character, package):
    monkeypatch.setattr(fonts, "_is_drawable", lambda _: False)
    with pytest.warns(fonts.FontWarning, match=rf"draws {character}: install {package} .*\.html"):
        fonts.warn_of_faults(character)


def test_signs_that_the_renderer_crowds_are_named():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fonts.warn_of_faults("कि")
    assert any("ि partly over one another: save as .svg or .html" in str(one.message) for one in caught)


def test_no_word_of_warning_where_all_is_well():
    fonts.warn_of_faults("The device is ready. Größe: 100 %")
