import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.batching import segments

WORDS = ["Januar", "2024", "den", "10:30", "1,000", "Mai.", "ist!", "gut,", "ja…"]
WORDS += ["日。", "本、", "月", " ", "\u2028"]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=30).map(" ".join) | st.text()


def visible(text: str) -> str:
    return "".join(text.split())


@given(texts, st.integers(2, 40))
def test_nothing_that_can_be_seen_is_lost_and_each_part_is_short_enough(
    dates_tokenizer: Tokenizer, text: str, longest: int
) -> None:
    parts = segments(text, dates_tokenizer, longest)
    assert visible("".join(parts)) == visible(text)
    for part in parts:
        assert part.strip()
        assert len(dates_tokenizer.encode(part)) + 1 <= longest or len(part) == 1
        assert part in text  # cut out, not put together anew


@given(texts)
def test_a_short_text_is_its_only_part_unchanged(dates_tokenizer: Tokenizer, text: str) -> None:
    longest = len(dates_tokenizer.encode(text)) + 1
    assert segments(text, dates_tokenizer, longest) == ([text] if text.strip() else [])


@pytest.mark.parametrize("blank", ["", " ", "\t \u2028\u3000", "\r\n"])
def test_a_blank_text_has_no_part(dates_tokenizer: Tokenizer, blank: str) -> None:
    assert segments(blank, dates_tokenizer, 10) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Um 10:30, ja. Und 1,000 nein, gut.", ["Um 10:30, ja.", "Und 1,000 nein, gut."]),
        ("Um 10:30 und, 1,000 oder", ["Um 10:30 und,", "1,000 oder"]),
        ("eins zwei 1,000 drei", ["eins zwei", "1,000 drei"]),
        ("我说。今天、好。", ["我说。", "今天、好。"]),
        ("Donaudampf", ["Donau", "dampf"]),
    ],
)
def test_a_text_is_cut_where_it_hurts_least(dates_tokenizer: Tokenizer, text: str, parts: list[str]) -> None:
    longest = max(len(dates_tokenizer.encode(part)) for part in parts) + 1
    assert longest <= len(dates_tokenizer.encode(text))
    assert segments(text, dates_tokenizer, longest) == parts


def test_a_very_long_text_takes_no_very_long_time(dates_tokenizer: Tokenizer) -> None:
    """Without a place to cut: it is halved, not shortened token by token."""
    parts = segments("x" * 50_000, dates_tokenizer, 256)
    assert "".join(parts) == "x" * 50_000
    assert len(parts) < 800
