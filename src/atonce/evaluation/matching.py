"""Which words of a translation its reference has too: for readers who compare the two by eye."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import regex

from atonce.evaluation.words import UNSPACED

# Where a script puts no spaces between words, a character with its marks stands for a word.
_SPACE_OR_WORD = regex.compile(rf"(?V1)\s+|[{UNSPACED}][\p{{M}}]*|[^\s{UNSPACED}]+")


def matching_parts(text: str, reference: str) -> Iterator[tuple[str, bool]]:
    """Cut `text` into parts whose words the reference has, and parts whose words it lacks, in turn.

    Joined, the parts are `text`. A word counts as often as the reference has it; case and the punctuation
    around it do not matter. Space belongs to the match that it lies within.
    """
    pieces = _SPACE_OR_WORD.findall(text)
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
    within = [False, *(before and after for before, after in zip(matched, matched[2:], strict=False)), False]
    return [within[i] if piece.isspace() else matched[i] for i, piece in enumerate(pieces)]


def _key(word: str) -> str:
    """What two words share if they are the same: `Gerät.` is `gerät`, but `{name}` is not `name`."""
    word = unicodedata.normalize("NFC", word)
    edges = "".join(c for c in word if unicodedata.category(c).startswith("P") and c not in "{}[]%")
    return word.strip(edges).casefold() or word
