"""Words of any script: what ROUGE counts, what is marked as matching, how long a sentence is.

Where a script puts no spaces between words, a character, with the marks on it, stands for a word.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import regex

CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ーｰ"
"""Characters of Chinese and Japanese, as the inside of a character class."""
SYLLABIC = (
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Yi}"
)
"""Characters of other scripts without spaces between words. A word has several of them."""
UNSPACED = CJK + SYLLABIC

_JOINERS = r"[\u200c\u200d]+"  # within words of Persian and of Indian scripts
_SPACED = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}]]"
_WORD = regex.compile(
    rf"(?V1)[[{UNSPACED}]&&[\p{{L}}\p{{N}}ーｰ]](?:\p{{M}}|{_JOINERS}(?=\p{{M}}))*"
    rf"|[[\p{{L}}\p{{N}}]--[{UNSPACED}]](?:{_SPACED}|{_JOINERS}(?={_SPACED}))*"
)
_STEMMED = regex.compile(r"[a-z0-9]{4,}")
_UNSPACED = regex.compile(rf"(?V1)[{UNSPACED}]")
_SPACE_OR_WORD = regex.compile(rf"(?V1)\s+|[{UNSPACED}][\p{{M}}]*|[^\s{UNSPACED}]+")


def word_count(text: str) -> int:
    """How many words stand between spaces; where a script has none, each of its characters counts."""
    return sum(len(words(part)) if _UNSPACED.search(part) else 1 for part in text.split())


def words(text: str) -> list[str]:
    """The words of a text, in small letters: letters and digits that stand together, with the marks on them.

    All else is between words. A character of a script without spaces is one of them by itself. Letters that
    can be composed are (NFC): the same text spelt otherwise has the same words.
    """
    found: list[str] = _WORD.findall(unicodedata.normalize("NFC", text.lower()))
    return found


class Words:
    """What rouge-score takes for a tokenizer: `words`, with Porter's stemmer where it is English."""

    def __init__(self, *, stem: bool) -> None:
        """`stem`: take the endings off words in a to z and 0 to 9 with more than three letters, as
        rouge-score does."""
        self._stemmer = None
        if stem:
            from nltk.stem.porter import PorterStemmer

            self._stemmer = PorterStemmer()

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        if self._stemmer is None:
            return words(text)
        stem = self._stemmer.stem
        return [stem(word) if _STEMMED.fullmatch(word) else word for word in words(text)]


def matching_parts(text: str, reference: str) -> Iterator[tuple[str, bool]]:
    """Cut `text` into parts whose words the reference has, and parts whose words it lacks, in turn.

    Joined, the parts are `text`. A word counts as often as the reference has it; case and the punctuation
    around it do not matter. Space belongs to the match that it lies within.
    """
    pieces = _SPACE_OR_WORD.findall(text)
    # Counted, not looked up: a word that the reference has once matches once.
    matched = _matched(pieces, Counter(map(_key, _SPACE_OR_WORD.findall(reference))))
    start = 0
    for end in range(1, len(pieces) + 1):
        if end == len(pieces) or matched[end] != matched[start]:
            yield "".join(pieces[start:end]), matched[start]
            start = end


def _matched(pieces: Sequence[str], available: Counter[str]) -> list[bool]:
    matched = []
    for piece in pieces:
        key = _key(piece)
        matched.append(not piece.isspace() and available[key] > 0)
        available[key] -= 1
    # A space is of a match where both its neighbours are, so that what is marked is one piece.
    within = [False, *(before and after for before, after in zip(matched, matched[2:], strict=False)), False]
    return [within[i] if piece.isspace() else matched[i] for i, piece in enumerate(pieces)]


def _key(word: str) -> str:
    """What two words share if they are the same: `Gerät.` is `gerät`, but `{name}` is not `name`."""
    # Other spellings of the same letters are the same word; what is shown stays as it was given.
    word = unicodedata.normalize("NFC", word)
    # But { } [ ] and %, which are what placeholders are told by.
    edges = "".join(c for c in word if unicodedata.category(c).startswith("P") and c not in "{}[]%")
    return word.strip(edges).casefold() or word
