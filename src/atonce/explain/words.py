"""From tokens to words: which tokens make a word, and the attention of words.

A model sees tokens, a reader sees words. Attention paid *to* a word is the attention paid to all of its
tokens, so source tokens are summed; a word *attends* as its tokens do on average, so target tokens are
averaged. Every row then still sums to one.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from atonce.data.tokenizer import Tokenizer
from atonce.result import HIDDEN, Result
from atonce.shapes import Float

MERGE_RULE = "Tokens merged to words: weights summed over source tokens, averaged over target tokens."
"""What `merge_tokens` does, as figures state it."""

END_OF_SENTENCE = "‹end›"
"""How figures show the end of a sentence: characters that every text font has, unlike ⟨ and ⟩."""

# Scripts that put no spaces between words, by the blocks they live in.
_UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF, "Thai, Lao"),
    (0x0F00, 0x109F, "Tibetan, Myanmar"),
    (0x1780, 0x17FF, "Khmer"),
    (0x1950, 0x19DF, "Tai Le, New Tai Lue"),
    (0x1A20, 0x1AAF, "Tai Tham"),
    (0x2E80, 0x2FDF, "radicals of Han characters"),
    (0x3001, 0x312F, "punctuation of Chinese and Japanese, Hiragana, Katakana, Bopomofo"),
    (0x31A0, 0x9FFF, "Bopomofo, Katakana, Han"),
    (0xA9E0, 0xA9FF, "Myanmar"),
    (0xAA60, 0xAADF, "Myanmar, Tai Viet"),
    (0xF900, 0xFAFF, "Han for compatibility"),
    (0xFE30, 0xFE4F, "upright punctuation of Chinese and Japanese"),
    (0xFF01, 0xFF9F, "full-width punctuation, half-width Katakana"),
    (0x1B000, 0x1B16F, "Kana"),
    (0x20000, 0x3FFFF, "Han"),
)


_FIELD = re.compile(r"\d[-/]\d")
"""Where a field of a date ends and the next one begins, with the sign between them."""


# Compared by identity (`eq=False`), as all results with arrays are: == of two arrays is no truth value.
@dataclass(frozen=True, eq=False)
class AttentionMap(Result):
    """Attention weights: one matrix, of one layer and one head or of a mean over heads."""

    rows: tuple[str, ...]
    """The words or tokens that attend, in reading order: the target's; in an encoder, the source's."""
    columns: tuple[str, ...]
    """The words or tokens that are attended to, the end of the sentence included."""
    weights: np.ndarray
    """(rows, columns), each from 0 to 1. A row of zeros attends to nothing; NaN is drawn as an empty cell."""
    title: str
    """Which layer and head, such as "decoder.attention, mean of 4 heads"."""
    rule: str
    """How tokens became words, as the figure states it."""
    row_axis: str = "output"
    """The title of the rows' axis."""
    column_axis: str = "source"
    """The title of the columns' axis."""
    signed: bool = field(default=False, metadata=HIDDEN)
    """Whether it is a difference of two maps, from -1 to 1."""
    measure: str = field(default="attention weight", metadata=HIDDEN)
    """What the weights are: the title of the colour scale."""

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.rows), len(self.columns)):
            raise ValueError(
                f"{len(self.rows)} rows and {len(self.columns)} columns need as many weights, "
                f"not {self.weights.shape}"
            )


def without_end(one: AttentionMap, *, renormalised: bool) -> AttentionMap:
    """The map without the column of the end of the sentence, its last; the rule says so.

    Heads that have nothing to attend to rest there (Clark 2019). `renormalised`: the rest of each row sums to
    what the row summed to before; a row with nothing left stays empty. A map without such a column stays as
    it is.
    """
    if one.columns[-1:] != (END_OF_SENTENCE,):
        return one
    weights = one.weights[:, :-1]
    said = f"The column {END_OF_SENTENCE} is hidden."
    if renormalised:
        left = weights.sum(1, keepdims=True)
        # Of less than a normal number the quotient would be infinite, or noise.
        share = np.divide(
            one.weights.sum(1, keepdims=True),
            left,
            out=np.zeros_like(left),
            where=left > np.finfo(left.dtype).tiny,
        )
        weights = weights * share
        said = f"The column {END_OF_SENTENCE} is left out, and what is left sums to one."
    rule = " ".join(filter(None, (one.rule, said)))
    return replace(one, columns=one.columns[:-1], weights=weights, rule=rule)


def merge_tokens(
    weights: Float[np.ndarray, "query_len key_len"], query_words: Sequence[int], key_words: Sequence[int]
) -> Float[np.ndarray, "query_words key_words"]:
    """The attention of words, from the attention of tokens.

    `query_words[i]` and `key_words[j]` are the words that query token i and key token j belong to, counted
    from 0 without a gap. Weights are summed over the tokens of a key word and averaged over those of a query
    word, so a row of the result sums to the mean of what the rows it came from sum to: one, where attention
    was paid. Raises ValueError if a token has no word or a word no token.
    """
    to_key_word = membership(key_words, weights.shape[1])
    to_query_word = membership(query_words, weights.shape[0])
    tokens_per_word = to_query_word.sum(axis=0)[:, None]
    # In double: float16 or float32 rows of long texts would no longer sum to one.
    merged = to_query_word.T @ (weights.astype(np.float64) @ to_key_word) / tokens_per_word
    return merged.astype(weights.dtype)


def membership(word_of_token: Sequence[int], tokens: int) -> Float[np.ndarray, "tokens words"]:
    """1 where a token belongs to a word. Raises ValueError if a token has no word or a word no token."""
    index = np.asarray(word_of_token, dtype=np.intp)
    if index.shape != (tokens,):
        raise ValueError(f"{tokens} tokens, but {index.size} of them were given a word")
    # A gap would be a word without tokens: the mean over none is no number.
    present = np.unique(index)
    if not np.array_equal(present, np.arange(len(present))):
        raise ValueError(f"words must be counted from 0 without a gap, not {present.tolist()}")
    belongs = np.zeros((tokens, len(present)))
    belongs[np.arange(tokens), index] = 1
    return belongs


@dataclass(frozen=True)
class Side:
    """One text as tokens and as words; the end of the sentence is the last of both.

    A text that was cut off has no end.
    """

    text: str
    """The text."""
    tokens: tuple[str, ...]
    """What the model reads or writes."""
    words: tuple[str, ...]
    """What people read."""
    word_of_token: tuple[int, ...]
    """For each token, the number of its word, from 0."""

    def places(self, words: Collection[int]) -> list[int]:
        """Where the tokens of these words are, words and places counted from 0."""
        wanted = frozenset(words)
        return [place for place, word in enumerate(self.word_of_token) if word in wanted]


def side_of(tokenizer: Tokenizer, text: str | Sequence[int]) -> Side:
    """A text with its end; or tokens by number, which end where the last of them is `eos`."""
    if isinstance(text, str):
        return side_of(tokenizer, [*tokenizer.encode(text), tokenizer.eos])
    has_end = len(text) > 0 and text[-1] == tokenizer.eos
    ids = text[:-1] if has_end else text
    # The words are those of the tokens: search may have spelt the text otherwise than the tokenizer would.
    spelt = tokenizer.decode(ids)
    words, word_of_token = words_of(spelt, tokenizer.spans(ids))
    tokens = tokenizer.tokens(ids)
    if not has_end:
        return Side(spelt, tuple(tokens), tuple(words), tuple(word_of_token))
    return Side(
        spelt,
        (*tokens, END_OF_SENTENCE),
        (*words, END_OF_SENTENCE),
        (*word_of_token, len(words)),
    )


def words_of(text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[str], list[int]]:
    """The words of `text`, and the word that each token belongs to.

    `spans[i]` is the (begin, end) of token i in characters of `text`, in reading order. A token may begin
    with the space before it, share a character with its neighbours (byte tokens do) or stand for none at all.

    A word ends at white space, and between the fields of a date such as 2051-02-01. In scripts that write no
    spaces (Chinese, Japanese, Thai, …) each token is a word of its own. A token that reaches across white
    space makes one word of what it touches. The words appear as in the text; a token without a visible
    character belongs to the token that it touches.
    """
    visible = [(i, *_trimmed(text, *span)) for i, span in enumerate(spans) if text[slice(*span)].strip()]
    if not visible:  # one word without a character: every token has to belong to some word
        return ([""], [0] * len(spans)) if spans else ([], [])

    extents: list[tuple[int, int]] = []  # of each word so far
    word_of_visible: dict[int, int] = {}
    for i, begin, end in visible:
        if extents and not _is_boundary(text, extents[-1][1], begin):
            extents[-1] = (min(extents[-1][0], begin), max(extents[-1][1], end))
        else:
            extents.append((begin, end))
        word_of_visible[i] = len(extents) - 1
    words = [" ".join(text[begin:end].split()) for begin, end in extents]
    return words, _with_invisible(text, spans, word_of_visible)


def _trimmed(text: str, begin: int, end: int) -> tuple[int, int]:
    """The part of a span that does not begin or end in white space."""
    token = text[begin:end]
    return begin + len(token) - len(token.lstrip()), begin + len(token.rstrip())


def _is_boundary(text: str, end: int, begin: int) -> bool:
    """Whether a new word starts at `begin`, where the word before reaches to `end`."""
    if begin < end:  # they share a character
        return False
    if any(character.isspace() for character in text[end:begin]):
        return True
    if _FIELD.match(text, end - 1):  # models of dates attend to year, month and day one by one
        return True
    if unicodedata.category(text[begin]) in ("Mn", "Mc", "Me", "Cf"):  # a vowel sign cannot stand alone
        return False
    # Each token is a word there: nothing in the text says where words end.
    return _is_unspaced(text[end - 1]) or _is_unspaced(text[begin])


def _is_unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last, _ in _UNSPACED_BLOCKS)


def _with_invisible(
    text: str, spans: Sequence[tuple[int, int]], word_of_visible: dict[int, int]
) -> list[int]:
    """A word for every token: those without a visible character join the next one, or the one they follow.

    The next one first, because that is where they come from: the mark of a word's beginning stands before
    it, and of the byte tokens of a character only the last need carry the character. A token that ends where
    white space or nothing follows belongs to the word before.
    """
    words = [word_of_visible.get(i, -1) for i in range(len(spans))]
    before = 0
    for i, (begin, end) in enumerate(spans):
        if words[i] < 0:
            touches_next = text[end : end + 1].strip() != ""
            touches_last = text[max(begin - 1, 0) : begin].strip() != ""
            following = next((word for word in words[i:] if word >= 0), None)
            words[i] = before if following is None or (touches_last and not touches_next) else following
        before = words[i]
    return words


def places_of(word: str, text: str, *, ignore_case: bool = False) -> list[tuple[int, int]]:
    """Where `word` occurs in `text` as a word of its own: (begin, end) in characters, left to right.

    Punctuation may touch it, letters and digits may not, except in scripts that put no spaces between words.
    """
    found = re.finditer(re.escape(word), text, re.IGNORECASE if ignore_case else 0)
    return [match.span() for match in found if match[0].strip() and _stands_alone(text, *match.span())]


def _stands_alone(text: str, begin: int, end: int) -> bool:
    return all(_parts(text[at - 1], text[at]) for at in (begin, end) if 0 < at < len(text))


def _parts(left: str, right: str) -> bool:
    """Whether a word may end at the one character and another begin at the next."""
    letters = [unicodedata.category(character)[0] in "LMN" for character in (left, right)]
    if not all(letters):
        return True
    return unicodedata.category(right)[0] != "M" and (_is_unspaced(left) or _is_unspaced(right))
