"""The same text spelt otherwise is the same text: one spelling of each, chosen by the recipe.

What only says how wide a gap is or where a line may break is no part of a text (`spaces`); letters that
Unicode calls canonically equivalent are one letter, composed or not (`nfc`); and, where a recipe asks for
it, so are those that it calls compatible, such as full-width forms and ligatures (`nfkc`). See Unicode
Standard Annex 15.

What a user gave is never changed itself: models read the one spelling, and everything that answers keeps the
text as it was given beside it.
"""

import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from atonce.data.config import Normalization
from atonce.shapes import UInt8

_AT_ONCE = 1_000
_PARTS = 8  # of texts of which some are spelt otherwise
_WORTH_A_LOOK = 16

NO_WIDTH = "\u00ad\u200b\u2060\ufeff"
"""Soft hyphen, zero-width space, word joiner and the byte order mark: they only say where a line may break.

Joiners (U+200C, U+200D), which shape letters and emoji, and marks of direction are part of a text.
"""
_DROPPED = dict.fromkeys(map(ord, NO_WIDTH))
_FORMS: dict[Normalization, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}


def normalized(texts: Sequence[str], rule: Normalization) -> list[str]:
    """The texts in the spelling of `rule`; idempotent, and each text by itself.

    White space, of whatever kind and length, becomes one space, and none at the ends. Most texts are spelt
    that way already, which is seen for many of them at once, in parts that stay in the processor's cache.
    """
    if rule == "none":
        return list(texts)
    if len(texts) < _WORTH_A_LOOK:
        return [_normalized(text, rule) for text in texts]
    if len(texts) <= _AT_ONCE and _are_normalized(texts, rule):
        return list(texts)
    # What is not right as a whole is cut in eight, and those again: around a few texts that are wrong, most
    # are still seen together.
    size = min(_AT_ONCE, len(texts) // _PARTS + 1)
    parts = (texts[start : start + size] for start in range(0, len(texts), size))
    return [text for part in parts for text in normalized(part, rule)]


def _normalized(text: str, rule: Normalization) -> str:
    if not text.isascii():
        if any(sign in text for sign in NO_WIDTH):  # first: a letter and its accent may stand around one
            text = text.translate(_DROPPED)
        if (form := _FORMS.get(rule)) is not None:
            text = unicodedata.normalize(form, text)
    return " ".join(text.split())


def _are_normalized(texts: Sequence[str], rule: Normalization) -> bool:
    """Whether all of them are spelt as they are to be; False may also be said where they are."""
    together = "\n".join(["", *texts, ""])
    # A text with a line end in it would look like two.
    if together.count("\n") > len(texts) + 1:
        return False
    # Halves of characters are let pass: texts are any that Python has, and the tokenizer sees to them.
    kinds = _kinds()[np.frombuffer(together.encode("utf-32-le", "surrogatepass"), "<u4")]
    # Sums of neighbours: two ends, around an empty text, are 2; a space is 3 with an end and 4 with a space.
    if (kinds[:-1] + kinds[1:]).max() > _END + 1:  # a space beside another or at an end, or an odd sign
        return False
    form = _FORMS.get(rule)
    return form is None or unicodedata.is_normalized(form, together)


_END, _SPACE, _ODD = 1, 2, 8


@cache
def _kinds() -> UInt8[np.ndarray, " signs"]:
    """Of every sign by its code: an end of a text ("\\n"), a space, an odd one, or any other, which is 0.

    Odd is white space other than a space, and what has no width.
    """
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    last_space = 0x3000
    kinds[[code for code in range(last_space + 1) if chr(code).isspace()]] = _ODD
    kinds[list(map(ord, NO_WIDTH))] = _ODD
    kinds[[ord("\n"), ord(" ")]] = _END, _SPACE
    return kinds


def compared(texts: Sequence[str], rule: Normalization) -> list[str]:
    """The texts as outputs of a model with this rule are compared with them: canonical equivalence at most.

    What is only compatible stays different: a reference with other signs is another reference.
    """
    return normalized(texts, "nfc" if rule == "nfkc" else rule)


def is_blank(text: str) -> bool:
    """Whether a text says nothing: white space alone, and what has no width."""
    return not text.strip() or (
        (text[0] in NO_WIDTH or text[0].isspace()) and not text.translate(_DROPPED).strip()
    )
