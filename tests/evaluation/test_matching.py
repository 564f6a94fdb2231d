"""Marking matches loses nothing of a translation, and marks no word that the reference lacks."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.evaluation.matching import matching_parts

texts = st.text(alphabet="ab Z.,{}\t設定あ", max_size=30)


@given(texts, texts)
def test_the_parts_are_the_text_and_alternate(text: str, reference: str) -> None:
    parts = list(matching_parts(text, reference))
    assert "".join(part for part, _ in parts) == text
    assert all(part for part, _ in parts)
    assert all(one != next_one for (_, one), (_, next_one) in itertools.pairwise(parts))


@given(texts)
def test_a_text_matches_itself_but_for_the_space_around_it(text: str) -> None:
    matched = "".join(part for part, matches in matching_parts(text, text) if matches)
    assert matched == text.strip()


@given(texts)
def test_nothing_matches_an_empty_reference(text: str) -> None:
    assert not any(matches for _, matches in matching_parts(text, ""))


@pytest.mark.parametrize(
    ("text", "reference", "marked"),
    [
        ("die Sprache ist die Sprache", "Die Sprache, die wir sprechen", ["die Sprache", "die"]),
        ("Das Gerät.", "das Gerät ist da", ["Das Gerät."]),
        ("name {name}", "{name}", ["{name}"]),
        ("设备已配置", "设备已经配置好", ["设备已配置"]),
        ("- Licht -", "Licht", ["Licht"]),
        ("สวัสดีครับ", "สวัสดีค่ะ", ["สวัสดี"]),
        ("cafe\u0301 da", "caf\u00e9", ["cafe\u0301"]),
    ],
)
def test_a_word_counts_as_often_as_the_reference_has_it(text: str, reference: str, marked: list[str]) -> None:
    assert [part for part, matches in matching_parts(text, reference) if matches] == marked
