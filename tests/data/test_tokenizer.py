import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.data import tokenizer as tokenizer_module
from atonce.data.config import VocabularyConfig
from atonce.data.corpora.dates import generate
from atonce.data.tokenizer import Tokenizer
from atonce.errors import DataError, DiskError, RunError

KINDS = ["bpe", "unigram", "words", "characters"]
STATES = {"house": "old", "device": "already configured", "key": "unknown", "window": "open"}
ENGLISH = [f"The {noun} number {n} is {state}." for n in range(40) for noun, state in STATES.items()]
STRANGE = [
    "",
    " ",
    "  two  spaces  ",
    "▁",
    "▁a ▁ b▁",
    " ▁",
    "\0",
    "a\0b",
    "\t",
    "\u2585",
    "x\u2028y",
    "Straße",
]
STRANGE += ["🙂‍↔️ 日本", "<unk> <s> </s>", "\ufdd0▁", "\ufffd▁", "ความ"]
characters = st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])
anything = st.text(characters | st.sampled_from(" ▁\0aThe.\ufdd0"))


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Of texts as they are: see test_normalization for those that are spelt one way."""
    return Tokenizer.train(ENGLISH, VocabularyConfig(kind=request.param, size=400, normalization="none"))


@given(anything)
def test_nothing_is_lost(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {tokenizer.pad, tokenizer.unk, tokenizer.bos, tokenizer.eos} & set(ids)


@pytest.mark.parametrize("text", STRANGE + ENGLISH[:3])
def test_nothing_strange_is_lost(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.lists(anything, max_size=5))
def test_lines_are_encoded_like_texts(tokenizer: Tokenizer, lines: list[str]) -> None:
    assert tokenizer.encode_lines(lines) == [tokenizer.encode(line) for line in lines]


@given(st.data())
def test_any_ids_decode(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1)))
    assert isinstance(tokenizer.decode(ids), str)
    assert len(tokenizer.tokens(ids)) == len(ids)


def test_special_ids_spell_nothing(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("The key")
    assert tokenizer.decode([tokenizer.bos, *ids, tokenizer.eos, tokenizer.pad, tokenizer.pad]) == "The key"


def test_half_a_character_becomes_one_that_says_so(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    broken = tokenizer.encode("日")[:-1]
    assert tokenizer.decode(broken).endswith("\ufffd")


@given(anything)
def test_spans_cover_the_text_without_a_gap(tokenizer: Tokenizer, text: str) -> None:
    spans = tokenizer.token_spans(text)
    assert len(spans) == len(tokenizer.encode(text))
    reached = 0
    for start, end in spans:
        assert start <= reached <= end, "a gap, or backwards"
        assert start == reached or end == reached, "only bytes of one character share a span"
        reached = end
    assert reached == len(text)


@given(st.data())
def test_any_ids_have_spans_that_cover_what_they_spell(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Also those that break characters, or that `encode` would never make."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1) | st.integers(4, 259)))
    spans = tokenizer.spans(ids)
    assert len(spans) == len(ids)
    reached = 0
    for id, (start, end) in zip(ids, spans, strict=True):
        assert start <= reached <= end
        assert start == reached or end == reached
        if id in (tokenizer.pad, tokenizer.unk, tokenizer.bos, tokenizer.eos):
            assert start == end
        reached = end
    assert reached == len(tokenizer.decode(ids))


def test_spans_are_those_of_the_tokens() -> None:
    tokenizer = Tokenizer.train(ENGLISH, VocabularyConfig(size=400, normalization="none"))
    text = "The device 日 is  old"
    tokens = tokenizer.tokens(tokenizer.encode(text))
    for token, (start, end) in zip(tokens, tokenizer.token_spans(text), strict=True):
        if not token.startswith("<0x"):
            assert text[start:end] == token.replace("▁", " ").removeprefix(" " if start == 0 else "")
    day = [span for token, span in zip(tokens, tokenizer.token_spans(text), strict=True) if "<0x" in token]
    assert day == [(11, 12)] * 3


def test_tokens_are_learned(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokens(tokenizer.encode("The device is old."))
    assert "".join(tokens) == "▁The▁device▁is▁old."
    assert tokenizer.size <= 400


def test_kinds_cut_as_they_say() -> None:
    def tokens(kind: str, text: str, split_digits: bool = True) -> list[str]:
        config = VocabularyConfig(kind=kind, size=500, split_digits=split_digits)  # type: ignore[arg-type]
        tokenizer = Tokenizer.train(ENGLISH, config)
        return tokenizer.tokens(tokenizer.encode(text))

    assert tokens("words", "The device is open.") == ["▁The", "▁device", "▁is", "▁open."]
    assert tokens("characters", "old key") == ["▁", "o", "l", "d", "▁", "k", "e", "y"]
    assert tokens("bpe", "number 12")[-2:] == ["1", "2"]
    assert tokens("bpe", "number 12", split_digits=False)[-1] == "▁12"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_gives_the_same_tokens(kind: str, tmp_path: Path) -> None:
    config = VocabularyConfig(kind=kind, size=500)  # type: ignore[arg-type]
    for name in ("a", "b"):
        Tokenizer.train(iter(ENGLISH), config).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lines", [["a"], ["one house"], ["日本語"], ["   x   "], ["\t\0y"], ["1"], ["x" * 9000]]
)
def test_a_tiny_corpus_gets_fewer_tokens(kind: str, lines: list[str]) -> None:
    tokenizer = Tokenizer.train(lines, VocabularyConfig(kind=kind))  # type: ignore[arg-type]
    assert 260 < tokenizer.size < 8000
    assert tokenizer.decode(tokenizer.encode(lines[0])) == tokenizer.normalized(lines[0])


@pytest.mark.parametrize("kind", KINDS)
def test_more_characters_than_tokens(kind: str) -> None:
    lines = ["".join(chr(0x4E00 + 20 * row + column) for column in range(20)) for row in range(60)]
    tokenizer = Tokenizer.train(lines, VocabularyConfig(kind=kind, size=300))  # type: ignore[arg-type]
    assert tokenizer.size <= 300
    assert tokenizer.decode(tokenizer.encode(lines[7])) == lines[7]


@pytest.mark.parametrize("lines", [[], ["", "  ", "\t"]])
def test_no_text_is_an_error(lines: list[str]) -> None:
    with pytest.raises(DataError, match="no text to learn a vocabulary from") as caught:
        Tokenizer.train(lines, VocabularyConfig())
    assert "recipe names" in caught.value.fix


def test_training_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Tokenizer.train(ENGLISH, VocabularyConfig(size=5000))
    assert capfd.readouterr() == ("", "")


def test_of_many_lines_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [tokenizer_module._sample(map(str, range(10_000)), 100) for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 100
    mean = sum(map(int, draws[0])) / 100
    assert 4000 < mean < 6000, "each line is as likely as any other"


def test_save_and_open(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    tokenizer.save(path)
    assert Tokenizer.open(path).encode("The house ▁ is 日本") == tokenizer.encode("The house ▁ is 日本")
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.model"]


def test_a_full_disk_leaves_what_was_there(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskError, match="cannot write") as caught:
        tokenizer.save(path)
    assert "No space left on device" in caught.value.why
    assert path.read_text() == "before"


def test_a_damaged_model_is_an_error(dates_tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    dates_tokenizer.save(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no model", whole[5:]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="is damaged") as caught:
            Tokenizer.open(path)
        assert "not a sentencepiece model" in caught.value.why
    with pytest.raises(RunError, match="is damaged") as caught:
        Tokenizer.open(tmp_path / "gone.model")
    assert caught.value.why == "No such file or directory"


def a_message(*fields: tuple[int, bytes | int]) -> bytes:
    """A protocol buffer of short fields."""
    return b"".join(
        bytes([number << 3, value])
        if isinstance(value, int)
        else bytes([number << 3 | 2, len(value)]) + value
        for number, value in fields
    )


@pytest.mark.parametrize(
    ("behind", "why"),
    [
        (a_message((3, a_message((2, b"x" * 40)))), "table of characters"),
        (a_message((1, a_message((1, b"\xff")))), "utf-8"),
        (a_message((1, a_message((1, b"new"), (3, 3)))), "not what atonce makes them"),
        (a_message((1, a_message((1, b"<pad>")))), "not what atonce makes them"),
        (a_message((1, b"\x0a\x01n\x15\x00\x00\xc0\x7f")), "token .* is none"),
        (a_message((1, a_message((1, 3)))), "a number where something else belongs"),
        (a_message((7, b"x")), "a field 7"),
        (b"\x0a\xff", "cut off"),
        (b"\x0a" + b"\xff" * 12, "cut off"),
        (b"\x0c", "no protocol buffer"),
    ],
)
def test_what_sentencepiece_does_not_check_is_checked(
    dates_tokenizer: Tokenizer, tmp_path: Path, behind: bytes, why: str
) -> None:
    """What stands behind a model is merged into it."""
    path = tmp_path / "tokenizer.model"
    dates_tokenizer.save(path)
    path.write_bytes(path.read_bytes() + behind)
    with pytest.raises(RunError, match="is damaged") as caught:
        Tokenizer.open(path)
    assert re.search(why, caught.value.why)


@settings(max_examples=8)
@given(data=st.data())
def test_no_bit_of_a_model_takes_the_process_with_it(
    dates_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("bits") / "tokenizer.model"
    dates_tokenizer.save(path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 700, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with suppress(RunError):
        opened = Tokenizer.open(path)
        assert opened.size == dates_tokenizer.size
        opened.decode(opened.encode("Donnerstag, 3. Mai 2001 \U0001f642"))


def test_many_scripts(dates_tokenizer: Tokenizer) -> None:
    for pair in generate(300, seed=9):
        read = dates_tokenizer.normalized(pair.source)
        assert dates_tokenizer.decode(dates_tokenizer.encode(pair.source)) == read
        assert read.split() == pair.source.split()
