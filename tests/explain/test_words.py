"""Tokens become words without losing a character or a share of attention."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from atonce.explain.words import (
    END_OF_SENTENCE,
    AttentionMap,
    merge_tokens,
    without_end,
    words_of,
)

repeatable = settings(derandomize=True, deadline=None, max_examples=150)

# Letters with and without spaces between words, marks that cannot stand alone, several kinds of white space.
CHARACTERS = "ab,.ß 中日あไทย\u0e31\u0301\u3000\n\u00a0한ع\U00020000"


@st.composite
def cut_texts(draw):
    """A text and spans in reading order that cover it: also empty ones, and several for one character."""
    text = draw(st.text(CHARACTERS, max_size=14))
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=8))})
    spans = []
    for begin, end in pairwise(cuts):
        spans += [(begin, begin)] * draw(st.integers(0, 1))
        spans += [(begin, end)] * (draw(st.integers(1, 3)) if end - begin == 1 else 1)
    return text, spans + [(len(text), len(text))] * draw(st.integers(0, 1))


@st.composite
def numbered_words(draw):
    """The word of each token, in order: 0 0 1 2 2 2 …"""
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
    return [word for word, length in enumerate(lengths) for _ in range(length)]


@repeatable
@given(cut_texts())
def test_words_number_every_token_in_order_without_a_gap(cut):
    text, spans = cut
    words, index = words_of(text, spans)
    assert len(index) == len(spans)
    assert all(step in (0, 1) for step in np.diff(index))
    assert sorted(set(index)) == list(range(len(words)))


@repeatable
@given(cut_texts())
def test_words_joined_are_the_visible_text(cut):
    text, spans = cut
    words, _ = words_of(text, spans)
    assert "".join("".join(words).split()) == "".join(text.split())


@repeatable
@given(st.text("abß,한ع \n", max_size=20), st.data())
def test_where_words_have_spaces_tokens_within_them_give_the_words(text, data):
    """Whatever the cuts, as long as none of the tokens reaches from one word into the next."""
    spaces = [i for i, character in enumerate(text) if character.isspace()]
    cuts = {0, len(text), *spaces, *data.draw(st.lists(st.integers(0, len(text)), max_size=6))}
    words, _ = words_of(text, list(pairwise(sorted(cuts))))
    assert [word for word in words if word] == text.split()


@pytest.mark.parametrize(
    ("text", "tokens", "words", "index"),
    [
        ("The device", ["The", " dev", "ice"], ["The", "device"], [0, 1, 1]),
        ("ready. Go", ["ready", ". Go"], ["ready. Go"], [0, 0]),
        ("a  b ", ["a", " ", " ", "b", " "], ["a", "b"], [0, 0, 1, 1, 1]),
        ("今日は雨。", ["今日", "は", "雨", "。"], ["今日", "は", "雨", "。"], [0, 1, 2, 3]),
        ("Wi-Fi网络", ["Wi", "-Fi", "网络"], ["Wi-Fi", "网络"], [0, 0, 1]),
        ("ที่ดี", ["ท", "ี่", "ดี"], ["ที่", "ดี"], [0, 0, 1]),
        ("안녕 세계", ["안", "녕", " 세", "계"], ["안녕", "세계"], [0, 0, 1, 1]),
        ("don't {name}!", ["don", "'t", " {", "name", "}!"], ["don't", "{name}!"], [0, 0, 1, 1, 1]),
        ("2051-02-01", ["20", "51", "-", "02", "-", "0", "1"], ["2051", "-02", "-01"], [0, 0, 1, 1, 2, 2, 2]),
        ("", [], [], []),
        (" ", [" "], [""], [0]),
    ],
)
def test_words_of_tokens_as_people_read_them(text, tokens, words, index):
    ends = np.cumsum([len(token) for token in tokens], dtype=int).tolist()
    assert words_of(text, list(pairwise([0, *ends]))) == (words, index)


@pytest.mark.parametrize("spans", [[(2, 3)] * 3, [(2, 2), (2, 2), (2, 3)]])
def test_byte_tokens_of_one_character_are_one_word(spans):
    assert words_of("今日龘は", [(0, 2), *spans, (3, 4)]) == (["今日", "龘", "は"], [0, 1, 1, 1, 2])


def test_a_token_without_characters_belongs_to_the_token_it_touches():
    begin_of_first_word, end_of_sentence = (0, 0), (5, 5)
    words, index = words_of("ab cd", [begin_of_first_word, (0, 2), (2, 2), (3, 5), end_of_sentence])
    assert (words, index) == (["ab", "cd"], [0, 0, 0, 1, 1])


@repeatable
@given(numbered_words(), numbered_words(), st.integers(0, 2**32 - 1))
def test_merged_rows_still_sum_to_one(query_words, key_words, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(key_words)), len(query_words))
    merged = merge_tokens(weights.astype(np.float32), query_words, key_words)
    assert merged.shape == (query_words[-1] + 1, key_words[-1] + 1)
    assert merged.dtype == np.float32
    assert (merged >= 0).all()
    np.testing.assert_allclose(merged.sum(axis=1), 1, atol=1e-6)


@repeatable
@given(numbered_words(), numbered_words(), st.integers(0, 2**32 - 1))
def test_merging_sums_over_keys_and_averages_over_queries(query_words, key_words, seed):
    weights = np.random.default_rng(seed).random((len(query_words), len(key_words)))
    merged = merge_tokens(weights, query_words, key_words)
    for i, j in np.ndindex(merged.shape):
        of_word = weights[np.equal(query_words, i)][:, np.equal(key_words, j)]
        assert merged[i, j] == pytest.approx(of_word.sum(axis=1).mean())


def test_tokens_that_are_words_stay_as_they_are():
    weights = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(merge_tokens(weights, range(3), range(4)), weights)


def test_nothing_to_merge_is_no_error():
    assert merge_tokens(np.zeros((0, 3), np.float32), [], [0, 0, 1]).shape == (0, 2)


@pytest.mark.parametrize("key_words", [[0, 1], [0, 2, 2], [1, 1, 1], [-1, 0, 1]])
def test_words_that_do_not_fit_the_tokens_are_refused(key_words):
    with pytest.raises(ValueError, match=r"tokens|without a gap"):
        merge_tokens(np.zeros((1, 3)), [0], key_words)


def test_a_map_whose_words_do_not_fit_its_weights_is_refused():
    with pytest.raises(ValueError, match="2 rows and 1 columns"):
        AttentionMap(("a", "b"), ("c",), np.zeros((1, 2), np.float32), "title", "rule")


@given(st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_without_the_end_the_rest_is_kept_or_sums_to_what_it_did(
    rows: int, words: int, renormalised: bool
) -> None:
    weights = np.random.default_rng(rows * 10 + words).dirichlet(np.ones(words + 1), rows)
    weights[0] = [0.0] * words + [1.0]  # a row that looked at the end alone
    columns = (*map(str, range(words)), END_OF_SENTENCE)
    one = AttentionMap(tuple("abcd"[:rows]), columns, weights, "t", "r")
    found = without_end(one, renormalised=renormalised)
    assert found.columns == columns[:-1]
    assert END_OF_SENTENCE in found.rule
    assert not found.weights[0].any()
    if renormalised:
        np.testing.assert_allclose(found.weights[1:].sum(1), 1)
    else:
        np.testing.assert_array_equal(found.weights, weights[:, :-1])
    assert without_end(found, renormalised=True) is found
