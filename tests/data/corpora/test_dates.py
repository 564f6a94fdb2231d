import re
from datetime import date, timedelta

import pytest

from atonce.data.config import DatesConfig
from atonce.data.corpora.dates import FORMATS, LOCALES, generate, write_out
from atonce.data.corpora.registry import open_corpus

DAYS = [date(1900, 1, 1) + timedelta(days=977 * n) for n in range(74)]  # to 2097, all months and week days


def test_pairs_are_a_function_of_the_seed() -> None:
    corpus = open_corpus(DatesConfig(pairs=300, seed=5))
    pairs = list(corpus.train())
    assert pairs == list(corpus.train()) == list(generate(300, seed=5))
    assert pairs != list(generate(300, seed=6))
    assert len({pair.source for pair in pairs}) == 300
    assert "Babel" in corpus.about


def test_targets_are_iso_8601_within_two_centuries() -> None:
    for pair in generate(500, seed=1):
        assert re.fullmatch(r"(19|20)\d\d-\d\d-\d\d", pair.target)
        date.fromisoformat(pair.target)


def test_there_are_many_locales_and_each_once() -> None:
    assert len(set(LOCALES)) == len(LOCALES) >= 30


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_is_unambiguous(locale: str) -> None:
    """Gregorian, the year in full, the day in digits, and no 3/5/2001, which could be March or May."""
    written: dict[str, date] = {}
    for format in FORMATS:
        for day in DAYS:
            text = write_out(day, format, locale)
            numbers = re.findall(r"\d+", text)
            assert f"{day.year}" in numbers
            assert day.day in map(int, numbers)
            assert re.search(r"[^\W\d]", text), "only numbers"
            assert written.setdefault(text, day) == day


def test_every_month_is_told_apart() -> None:
    for locale in LOCALES:
        for format in FORMATS:
            assert len({write_out(date(2001, month, 5), format, locale) for month in range(1, 13)}) == 12
