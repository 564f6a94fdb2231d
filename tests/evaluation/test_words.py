import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenizers import DefaultTokenizer

from atonce.evaluation.words import Words, matching_parts, word_count, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Привет, МИР!", ["привет", "мир"]),
        ("Über l'été x_y 3.14", ["über", "l", "été", "x", "y", "3", "14"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs and the virama are marks, not ends of words
        ("می‌خواهم کتاب", ["می‌خواهم", "کتاب"]),  # with a joiner inside
        ("用iPhone设置𠮷", ["用", "iphone", "设", "置", "𠮷"]),
        ("コーヒーを", ["コ", "ー", "ヒ", "ー", "を"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("😀 — ‌…", []),
        ("❤\ufe0f 👨\u200d👩\u200d👧\ufe0f", []),  # marks and joiners on no letter are no words
        ("❤\ufe0fworld می\u200c", ["world", "می"]),
    ],
)
def test_words_of_any_script(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text(max_size=40))
def test_a_text_spelt_otherwise_has_the_same_words(text: str) -> None:
    assert words(text) == words(unicodedata.normalize("NFC", text))
    assert words(text) == words(unicodedata.normalize("NFD", text))
    assert words(" ".join(words(text))) == words(text)


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=40))
def test_where_there_are_spaces_words_stand_between_them(text: str) -> None:
    assert word_count(text) == len(text.split())


@pytest.mark.parametrize(("text", "count"), [("我们用 Home Assistant 吗？", 6), ("สวัสดี", 4), ("", 0)])
def test_where_there_are_none_each_character_counts(text: str, count: int) -> None:
    assert word_count(text) == count


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=40), st.booleans())
def test_of_ascii_they_are_rouge_scores(text: str, stem: bool) -> None:
    assert Words(stem=stem).tokenize(text) == DefaultTokenizer(use_stemmer=stem).tokenize(text)


# Marking matches loses nothing of a translation, and marks no word that the reference lacks.

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
