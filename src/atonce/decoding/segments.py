"""Very long texts, cut where it hurts least: a model does poorly far beyond the lengths it was trained on."""

import re

from atonce.data.tokenizer import Tokenizer

_BOUNDARIES = (r"(?<=[.!?…])\s+|(?<=[。！？])", r"(?<=[,;:])\s+|(?<=[、，；：])", r"\s+", "")
"""Where to cut, from best to worst: after sentences, after clauses, between words, anywhere."""


def segments(text: str, tokenizer: Tokenizer, longest: int) -> list[str]:
    """The text in parts of at most `longest` tokens each, `eos` included; no part if it is blank.

    A text that is short enough is its only part, unchanged. Of a longer one, only space around cuts is lost.
    A single character is a part, however many tokens spell it.
    """
    if not text.strip():
        return []
    if _fits(text, tokenizer, longest):
        return [text]
    return _cut(text.strip(), tokenizer, longest)


def _fits(text: str, tokenizer: Tokenizer, longest: int) -> bool:
    return len(tokenizer.encode(text)) < longest


def _cut(text: str, tokenizer: Tokenizer, longest: int) -> list[str]:
    if len(text) == 1 or _fits(text, tokenizer, longest):
        return [text]
    place = _place_to_cut(text)
    halves = text[:place].rstrip(), text[place:].lstrip()
    return [part for half in halves for part in _cut(half, tokenizer, longest)]


def _place_to_cut(text: str) -> int:
    """The place nearest to the middle of those where it hurts least. No space may stand at either end."""
    for boundary in _BOUNDARIES:
        places = [found.end() for found in re.finditer(boundary, text) if 0 < found.end() < len(text)]
        if places:
            break
    return min(places, key=lambda place: abs(2 * place - len(text)))
