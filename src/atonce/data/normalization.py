"""The same text spelt otherwise is the same text: one spelling of each, chosen by the recipe.

What only says how wide a gap is or where a line may break is no part of a text (`spaces`); letters that
Unicode calls canonically equivalent are one letter, composed or not (`nfc`); and, where a recipe asks for
it, so are those that it calls compatible, such as full-width forms and ligatures (`nfkc`). See Unicode
Standard Annex 15.

What a user gave is never changed itself: models read the one spelling, and everything that answers keeps the
text as it was given beside it.
"""

import unicodedata
from collections.abc import Sequence
from typing import Literal

from atonce.data.config import Normalization

NO_WIDTH = "\u00ad\u200b\u2060\ufeff"
"""Soft hyphen, zero-width space, word joiner and the byte order mark: they only say where a line may break.

Joiners (U+200C, U+200D), which shape letters and emoji, and marks of direction are part of a text.
"""
_DROPPED = dict.fromkeys(map(ord, NO_WIDTH))
_FORMS: dict[Normalization, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}


def normalized(texts: Sequence[str], rule: Normalization) -> list[str]:
    """The texts in the spelling of `rule`; idempotent, and each text by itself.

    White space, of whatever kind and length, becomes one space, and none at the ends. Where texts are spelt
    that way already, which is looked up for all of them at once, this takes little more than to split them.
    """
    if rule == "none":
        return list(texts)
    if not all(map(str.isascii, texts)):
        together = "\n".join(texts)
        if any(sign in together for sign in NO_WIDTH):
            texts = [text.translate(_DROPPED) for text in texts]
            together = "\n".join(texts)
        form = _FORMS.get(rule)
        if form is not None and not unicodedata.is_normalized(form, together):
            texts = [unicodedata.normalize(form, text) for text in texts]
    return [" ".join(text.split()) for text in texts]


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
