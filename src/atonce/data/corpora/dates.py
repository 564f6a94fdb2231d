"""Dates written out in many languages and scripts, to ISO 8601: learned in minutes, made on the spot.

The source of a pair is a date as a locale writes it ("Donnerstag, 3. Mai 2001", "2001年5月3日"), the target
is 2001-05-03. Names come from the Unicode locale data in Babel, so nothing is downloaded.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta

from babel.dates import format_date

from atonce.data.config import DatesConfig
from atonce.data.pairs import Corpus, Pair

# Locales whose written-out dates are Gregorian, name the month or mark year, month and day, and hold the
# year in full (a test checks all three). Chosen for the variety of scripts and of the order of parts.
LOCALES = (
    *(
        "af",
        "am",
        "ar",
        "az",
        "be",
        "bg",
        "bn",
        "ca",
        "cs",
        "cy",
        "da",
        "de",
        "el",
        "en",
        "en_GB",
        "es",
        "et",
    ),
    *("eu", "fa", "fi", "fil", "fr", "ga", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka"),
    *("kk", "km", "kn", "ko", "lo", "lt", "lv", "mk", "ml", "mn", "mr", "my", "nb", "nl", "pa", "pl", "pt"),
    *("ro", "ru", "si", "sk", "sl", "sq", "sr", "sr_Latn", "sv", "sw", "ta", "te", "th", "tr", "uk", "ur"),
    *("uz", "vi", "zh", "zh_Hant", "zu"),
)
FORMATS = ("full", "long")
"""With and without the day of the week."""
FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)


def open_dates(config: DatesConfig) -> Corpus:
    """As many pairs as `config` asks for, a pure function of its seed (and of the version of Babel)."""
    generated: list[Pair] = []  # kept: formatting costs more than all other reading of this corpus

    def train() -> Iterator[Pair]:
        if not generated:
            generated.extend(generate(config.pairs, config.seed))
        return iter(generated)

    about = (
        f"dates in {len(LOCALES)} locales, generated with Babel from the Unicode locale data (Unicode-3.0)"
    )
    return Corpus(train=train, valid=None, test=None, about=about)


def generate(pairs: int, seed: int) -> Iterator[Pair]:
    """Draw dates until there are `pairs` distinct sources."""
    draw = random.Random(seed)
    days = (LAST - FIRST).days + 1
    seen: set[str] = set()
    # By sources: several locales write the same date alike, and a pair that comes twice is only one to learn.
    while len(seen) < pairs:
        day = FIRST + timedelta(days=draw.randrange(days))
        written = write_out(day, draw.choice(FORMATS), draw.choice(LOCALES))
        if written not in seen:
            seen.add(written)
            yield Pair(written, day.isoformat())


def write_out(day: date, format: str, locale: str) -> str:
    """The date as `locale` writes it, "full" or "long"."""
    return format_date(day, format, locale)
