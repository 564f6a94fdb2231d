import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.config import VocabularyConfig
from atonce.data.corpora.dates import generate
from atonce.data.prepare_pairs import EncodeCache
from atonce.data.tokenizer import Tokenizer

ENGLISH = [f"The {noun} number {n} is old." for n in range(40) for noun in ("house", "device", "key")]
characters = st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])
anything = st.text(characters | st.sampled_from("  ▁\0aThe.\ufdd0"))
sentences = st.lists(st.sampled_from(["The", "device", "old.", "日本", "▁", "", "12"]) | anything).map(
    " ".join
)


@pytest.fixture(
    scope="module",
    params=[
        ("bpe", "none"),
        ("bpe", "nfc"),
        ("unigram", "nfkc"),
        ("words", "none"),
        ("characters", "spaces"),
    ],
)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    kind, rule = request.param
    return Tokenizer.train(ENGLISH, VocabularyConfig(kind=kind, size=400, normalization=rule))


def ids(words: EncodeCache, lines: list[str]) -> list[list[int]]:
    return [list(one) for one in words.encode_lines(lines)]


@given(st.lists(sentences, max_size=8), st.integers(0, 20))
def test_the_ids_are_the_tokenizers_however_much_is_remembered(
    tokenizer: Tokenizer, lines: list[str], most_characters: int
) -> None:
    words = EncodeCache(tokenizer, most_characters=most_characters)
    for _ in range(2):
        assert ids(words, lines) == [tokenizer.encode(line) for line in lines]


def test_many_scripts(dates_tokenizer: Tokenizer) -> None:
    lines = [text for pair in generate(500, seed=9) for text in pair]
    words = EncodeCache(dates_tokenizer, most_characters=1000)
    assert ids(words, lines) == dates_tokenizer.encode_lines(lines)


@pytest.mark.parametrize(("kind", "alone"), [("bpe", True), ("unigram", False)])
@pytest.mark.parametrize("lines", [ENGLISH, ["a"]])
def test_words_stand_alone_in_bpe(kind: str, alone: bool, lines: list[str]) -> None:
    config = VocabularyConfig(kind=kind, size=400)  # type: ignore[arg-type]
    assert Tokenizer.train(lines, config).words_stand_alone == alone


def test_a_word_is_encoded_once(dates_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, encoded = dates_tokenizer.encode_normalized_text, []
    monkeypatch.setattr(
        dates_tokenizer, "encode_normalized_text", lambda text: encoded.append(text) or encode(text)
    )
    words = EncodeCache(dates_tokenizer)
    words.encode_lines(["one two one", "two  spaces", "two one"])
    assert encoded == ["one", "two", "spaces"]


def test_what_has_no_spaces_is_not_remembered(dates_tokenizer: Tokenizer) -> None:
    words = EncodeCache(dates_tokenizer)
    lines = ["日" * n + " 本" for n in range(20, 60)]
    assert ids(words, lines) == dates_tokenizer.encode_lines(lines)
    assert not words._ids


def test_no_more_is_remembered_than_was_said(dates_tokenizer: Tokenizer) -> None:
    words = EncodeCache(dates_tokenizer, most_characters=100)
    for n in range(1000):
        words.encode_lines([f"w{n:04} x{n:04}"])
        assert sum(map(len, words._ids)) <= 100 + 5
