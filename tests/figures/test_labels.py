"""Labels hold what every drawing can hold, have room, and stay apart."""

import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.figures.labels import MOST_LINES, distinct, drawable, fit, label, shortened, width_px, wrapped

ANY = st.text(st.characters(exclude_categories=()))
"""Also control characters, halves of surrogate pairs, and code points that are no characters."""
MIXED = st.text(st.sampled_from("aW 𝔘今👨\u200d👩é\u0301\u0e33א\x00\ufffe\ud800"), max_size=80)


def allowed(character: str) -> bool:
    """Char of XML 1.0, fifth edition, 2.2."""
    code = ord(character)
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


@given(ANY | MIXED)
def test_a_drawable_text_is_a_text_of_xml_with_as_many_signs(text: str) -> None:
    shown = drawable(text)
    assert all(map(allowed, shown))
    assert len(shown) == len(text)
    assert drawable(shown) == shown
    element = ElementTree.Element("text")
    element.text = shown
    ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8"))


def test_every_code_point_is_kept_or_has_a_stand_in_that_is_seen() -> None:
    every = "".join(map(chr, range(0x110000)))
    for given_one, shown in zip(every, drawable(every), strict=True):
        if shown != given_one:
            assert unicodedata.category(given_one) in ("Cc", "Cs", "Cn", "Cf", "Zl", "Zp"), ascii(given_one)
            assert unicodedata.category(shown) == "So", ascii(given_one)
    assert all(map(allowed, drawable(every)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x07b\x1b[0m", "a␇b␛[0m"),
        ("\x7f\x85", "␡\ufffd"),
        ("\ud835x\udd18", "\ufffdx\ufffd"),
        ("\ufffe\uffff\U0001fffe\ufdd0", "\ufffd" * 4),
        ("abc\u202edef", "abc\ufffddef"),  # would turn round what stands behind it
        ("می\u200cخواهم 👩\u200d🚀 \u200f", "می\u200cخواهم 👩\u200d🚀 \u200f"),
        ("tab\tline\n", "tab\tline\n"),
    ],
)
def test_stand_ins(text: str, shown: str) -> None:
    assert drawable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("a b", "a b"), ("  ", "␣␣"), ("\n", "␊"), ("a\tb", "a␉b"), ("\u200b\u200d", "\ufffd\ufffd")],
)
def test_a_label_with_nothing_to_be_seen_is_seen(text: str, shown: str) -> None:
    assert label(text) == shown


@given(MIXED, st.integers(20, 300))
def test_a_label_has_room(text: str, room: int) -> None:
    shown = label(text, room)
    assert all(map(allowed, shown))
    assert width_px(shown, 11) <= room
    if shown != label(text, 10**6):
        assert shown.endswith("…")
        assert label(text, 10**6).startswith(shown[:-1])


@pytest.mark.parametrize("letter", ["𝔘", "👨‍👩‍👧‍👦", "e\u0301", "🇩🇪", "한", "नि"])
def test_what_is_read_as_one_character_is_there_whole_or_not(letter: str) -> None:
    assert shortened(letter * 3, 1000) == letter * 3
    cut = shortened(letter * 300, 200)
    assert cut.endswith("…")
    assert cut[:-1] == letter * (len(cut[:-1]) // len(letter))
    cut.encode()


def test_a_heap_of_accents_is_shortened_too() -> None:
    assert len(shortened("a" + "\u0301" * 10_000)) < 40


@given(st.lists(MIXED | st.sampled_from(["x" * 90 + "1", "x" * 90 + "2", "\x01", "␁"]), max_size=12))
def test_different_texts_have_different_labels(texts: list[str]) -> None:
    labels = distinct(texts, 100)
    assert set(labels) == set(texts)
    assert len(set(labels.values())) == len(labels)


def test_a_name_that_has_room_is_itself() -> None:
    assert distinct(["gru", "transformer", "gru"]) == {"gru": "gru", "transformer": "transformer"}


@given(MIXED, st.integers(10, 40))
def test_lines_have_room_and_lose_nothing_in_silence(text: str, per_line: int) -> None:
    lines = wrapped(text, per_line)
    assert len(lines) <= MOST_LINES
    assert all(width_px(line.removesuffix(" …"), 1) <= 0.55 * per_line + 1 for line in lines)
    if lines and not lines[-1].endswith("…"):
        assert "".join("".join(lines).split()) == "".join(drawable(text).split())


def test_all_texts_of_a_chart_are_drawable_and_none_is_cut() -> None:
    chart = {
        "title": {"text": "a\x00"},
        "datasets": {"d": [{"word\ud800": "b\ufffe", "weight": 0.5, "none": None}]},
        "params": [{"name": "words", "value": ["c\x1f"]}],
        "config": {"axis": {"labelLimit": 9, "labelColor": "red"}},
    }
    made = fit(chart)
    assert made["title"] == {"text": "a␀"}
    assert made["datasets"]["d"] == [{"word\ufffd": "b\ufffd", "weight": 0.5, "none": None}]
    assert made["params"][0]["value"] == ["c␟"]
    assert made["config"]["axis"] == {"labelLimit": 0, "titleLimit": 0, "labelColor": "red"}
    assert made["config"]["legend"]["labelLimit"] == 0
