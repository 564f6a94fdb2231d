"""The same text spelt otherwise is the same text."""

import sys
import unicodedata
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.config import Normalization, VocabularyConfig
from atonce.data.normalization import NO_WIDTH, _kinds, compared, is_blank, normalized
from atonce.data.prepare_pairs import EncodeCache
from atonce.data.tokenizer import Tokenizer

RULES: tuple[Normalization, ...] = get_args(Normalization)
texts = st.text(
    st.characters()
    | st.sampled_from(
        "  \t\n\r\u00a0\u3000\u200b\u00ad\ufeff\u2060\u0085e\u0301\u0323a\u0308ﬁ１가\u1100\u1161\u11a8"
    )
)
WORDS = "Grüße aus Köln"
SAME = {
    "NFD": unicodedata.normalize("NFD", WORDS),
    "two spaces": WORDS.replace(" ", "  "),
    "no-break space": WORDS.replace(" ", "\u00a0"),
    "narrow no-break space": WORDS.replace(" ", "\u202f"),
    "ideographic space": WORDS.replace(" ", "\u3000"),
    "tab": WORDS.replace(" ", "\t"),
    "next line": WORDS.replace(" ", "\u0085"),
    "line separator": WORDS.replace(" ", "\u2028"),
    "lone return": WORDS.replace(" ", "\r"),
    "blanks around": f" \t{WORDS}\u00a0 ",
    "byte order mark": f"\ufeff{WORDS}",
    "zero-width space": WORDS.replace("ü", "ü\u200b"),
    "soft hyphen": WORDS.replace("ö", "ö\u00ad"),
    "word joiner": WORDS.replace(" ", "\u2060 "),
    "zero-width space within a letter": WORDS.replace("ü", "u\u200b\u0308"),
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([WORDS, "ein Haus"] * 20, VocabularyConfig(size=300))


@pytest.mark.parametrize("spelling", SAME)
def test_what_is_the_same_text_has_the_same_tokens(tokenizer: Tokenizer, spelling: str) -> None:
    text, expected = SAME[spelling], tokenizer.encode(WORDS)
    assert text != WORDS
    assert tokenizer.decode(expected) == WORDS
    assert tokenizer.encode(text) == expected
    for lines in ([text], [text] * 20, [WORDS, text, ""]):
        assert tokenizer.encode_lines(lines) == [tokenizer.encode(line) for line in lines]
        assert [list(ids) for ids in EncodeCache(tokenizer).encode_lines(lines)] == tokenizer.encode_lines(
            lines
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국"),
        ("tie\u0302\u0301ng Vie\u0323\u0302t", "tiếng Việt"),
        ("\u212b", "Å"),
    ],
)
def test_composed_letters_of_other_scripts(one: str, other: str) -> None:
    assert normalized([one], "nfc") == [other]
    assert normalized([one], "spaces") == [one]


def test_what_each_rule_does() -> None:
    text = "ﬁ １\u00a0½  e\u0301"
    assert [normalized([text], rule) for rule in RULES] == [
        [text],
        ["ﬁ １ ½ e\u0301"],
        ["ﬁ １ ½ é"],
        ["fi 1 1⁄2 é"],
    ]
    assert compared([text], "nfkc") == normalized([text], "nfc"), "other signs are another reference"


def test_what_shapes_letters_is_kept() -> None:
    for text in ("می\u200cخواهم", "👩\u200d👧", "क्\u200dष", "\u200eabc"):
        assert normalized([text], "nfc") == [text]


@given(st.lists(texts), st.sampled_from(RULES))
def test_spelling_again_changes_nothing_and_neighbours_do_not_matter(
    lines: list[str], rule: Normalization
) -> None:
    once = normalized(lines, rule)
    assert normalized(once, rule) == once
    assert once == [normalized([line], rule)[0] for line in lines]
    if rule == "none":
        assert once == lines
    elif rule != "spaces":
        assert once == normalized([unicodedata.normalize("NFD", line) for line in lines], rule)


@given(texts)
def test_blank_is_what_nothing_is_left_of(text: str) -> None:
    assert is_blank(text) == (normalized([text], "nfc") == [""])


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_part_of_the_model(tmp_path: Path, rule: Normalization) -> None:
    made = Tokenizer.train([WORDS] * 9, VocabularyConfig(size=300, normalization=rule))
    made.save(tmp_path / "tokenizer.model")
    opened = Tokenizer.open(tmp_path / "tokenizer.model")
    assert opened.normalization == made.normalization == rule
    assert opened.encode(SAME["NFD"]) == made.encode(SAME["NFD"])
    assert (opened.encode(SAME["NFD"]) == opened.encode(WORDS)) == (rule in ("nfc", "nfkc"))


@given(texts)
def test_only_the_spelling_is_lost(tokenizer: Tokenizer, text: str) -> None:
    whole = tokenizer.normalized(text).encode("utf-8", "replace").decode() if _has_halves(text) else None
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert whole is not None or decoded == tokenizer.normalized(text)
    spans = tokenizer.token_spans(text)
    assert (spans[-1][1] if spans else 0) == len(decoded)


def _has_halves(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def test_every_sign_that_is_space_is_known() -> None:
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    odd = {chr(code) for code in (_kinds() > 2).nonzero()[0].tolist()}
    assert odd == (spaces | set(NO_WIDTH)) - {" ", "\n"}


@pytest.mark.parametrize("odd", [*SAME.values(), "a\nb", "", "\n", WORDS])
@pytest.mark.parametrize("rule", RULES)
def test_of_many_texts_those_that_are_odd_are_found(odd: str, rule: Normalization) -> None:
    lines = [WORDS] * 1_500 + [odd] + [WORDS] * 700
    expected = normalized([odd], rule)[0]
    assert normalized(lines, rule) == [WORDS] * 1_500 + [expected] + [WORDS] * 700
