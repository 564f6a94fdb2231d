import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.tokenizer import Tokenizer
from atonce.explain.contexts.uses import Use, groups, pieces_of_words, uses_of
from atonce.explain.texts.words import places_of


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("open", "open, Open: “open”. reopen opener open2 open", ["open", "open", "open"]),
        ("open", "an open-ended x", ["open"]),
        ("3", "3 May 13, 3rd 3", ["3", "3"]),
        ("门", "打开门和门", ["门", "门"]),
        ("de", "dé de\u0301 de", ["de"]),  # an accent of its own belongs to the letter before
        ("a b", "a b, a  b", ["a b"]),
        ("", "text", []),
        (".", "a. b.c", [".", "."]),
    ],
)
def test_a_word_stands_alone(word: str, text: str, found: list[str]) -> None:
    assert [text[begin:end] for begin, end in places_of(word, text)] == found


def test_capitals_count_unless_they_are_to_be_ignored() -> None:
    assert places_of("the", "The THE the") == [(8, 11)]
    assert places_of("the", "The THE the", ignore_case=True) == [(0, 3), (4, 7), (8, 11)]


def found(tokenizer: Tokenizer, word: str, *sentences: str, longest: int = 99, most: int = 99) -> list[Use]:
    return uses_of(word, sentences, tokenizer, longest=longest, most=most)


@given(st.lists(st.sampled_from(["mai", "Mai", "3.", "2001", "mai,"]), max_size=6))
def test_the_pieces_of_a_use_spell_the_word(dates_tokenizer: Tokenizer, words: list[str]) -> None:
    sentence = " ".join(words)
    uses = found(dates_tokenizer, "mai", sentence)
    assert len(uses) == sum(word.startswith("mai") for word in words)
    for use in uses:
        assert use.ids == (*dates_tokenizer.encode(sentence), dates_tokenizer.eos)
        assert "mai" in dates_tokenizer.decode(use.spelling)
        assert use.marked.replace("[mai]", "mai") == sentence


def test_equal_sentences_count_once_and_only_the_first_are_taken(dates_tokenizer: Tokenizer) -> None:
    assert len(found(dates_tokenizer, "mai", "1 mai", "1 mai", "2 mai mai", "nichts")) == 3
    assert [use.sentence for use in found(dates_tokenizer, "mai", "1 mai", "2 mai", "3 mai", most=2)] == [
        "1 mai",
        "2 mai",
    ]


def test_what_is_cut_off_is_not_used(dates_tokenizer: Tokenizer) -> None:
    sentence = "mai 2001 2002 2003 mai"
    (use,) = found(dates_tokenizer, "mai", sentence, longest=len(dates_tokenizer.encode("mai 2001")))
    assert use.begin == 0
    assert len(use.ids) == len(dates_tokenizer.encode("mai 2001")) + 1


def test_words_are_the_pieces_between_spaces_once_each(dates_tokenizer: Tokenizer) -> None:
    words = pieces_of_words(["3 mai", "mai 3"], dates_tokenizer)
    assert [dates_tokenizer.decode(word) for word in words] == ["3", "mai"]


@pytest.mark.parametrize("word", ["x", "mitten"])
@pytest.mark.parametrize("room", [0, 8, 30, 100])
def test_an_excerpt_keeps_the_word_and_whole_neighbours(word: str, room: int) -> None:
    sentence = f"eins zwei drei vier {word} fuenf sechs sieben acht"
    begin = sentence.index(word)
    use = Use(sentence, begin, begin + len(word), (0,), 0, 1)
    excerpt = use.excerpt(room)
    assert f"[{word}]" in excerpt
    assert len(excerpt) <= room + len(word) + 4
    assert set(excerpt.replace("…", " ").split()) <= {*sentence.split(), f"[{word}]"}


@given(st.lists(st.integers(0, 2)))
def test_groups_are_stretches_of_equal_numbers(numbers: list[int]) -> None:
    stretches = groups(numbers)
    assert [place for one in stretches for place in one] == list(range(len(numbers)))
    assert all(len({numbers[place] for place in one}) == 1 for one in stretches)
    assert all(numbers[one.start] != numbers[one.start - 1] for one in stretches[1:])
