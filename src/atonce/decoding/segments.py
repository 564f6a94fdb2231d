"""Very long texts, cut where it hurts least: a model does poorly far beyond the lengths it was trained on."""

import re

from atonce.data.tokenizer import Tokenizer

_BOUNDARIES = (r"(?<=[.!?…])\s+|(?<=[。！？])", r"(?<=[,;:、，；])\s*", r"\s+", "")
"""Where to cut, from best to worst: after sentences, after clauses, between words, anywhere."""


def segments(text: str, tokenizer: Tokenizer, longest: int) -> list[str]:
    """The text in parts of at most `longest` pieces each, `eos` included; no part if it is blank.

    A text that is short enough is its only part, unchanged.
    """
    if not text.strip():
        return []
    return _cut(text, tokenizer, longest - 1, 0)


def _cut(text: str, tokenizer: Tokenizer, longest: int, boundary: int) -> list[str]:
    if len(tokenizer.encode(text)) <= longest or len(text) < 2:
        return [text]
    parts = [part for part in re.split(_BOUNDARIES[boundary], text) if part.strip()]
    joint = " " if _BOUNDARIES[boundary] else ""
    if len(parts) < 2:
        return _cut(text, tokenizer, longest, boundary + 1)
    middle = len(parts) // 2
    halves = joint.join(parts[:middle]), joint.join(parts[middle:])
    return [segment for half in halves for segment in _cut(half, tokenizer, longest, boundary)]
