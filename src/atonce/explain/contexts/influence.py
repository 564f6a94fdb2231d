"""How much context changes the vector of a word, and from which side.

Words of one side are replaced by others of as many pieces. Nothing moves, so that what changes is due to the
words and never to where the word itself stands.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atonce.data.tokenizer import Tokenizer
from atonce.explain.contexts.states import word_vectors
from atonce.explain.contexts.uses import Use, groups
from atonce.explain.texts.words import words_of
from atonce.models.seq2seq import Seq2Seq
from atonce.seeds import check_seed
from atonce.shapes import Float

_DRAWS = 3
"""Replacements of each side of each use."""


@dataclass(frozen=True)
class Influence:
    """What context does to the vectors of a word in one layer."""

    share: float
    """Of the vectors' mean squared length, how much differs from use to use: Σ|v − v̄|² / Σ|v|². 0 where all
    uses have the same vector, 1 where they have nothing in common. Uses spelt with other pieces ("The",
    "the") are compared among themselves. In a net with positions, where the word stands counts too. NaN if no
    two uses are spelt alike."""
    left: float
    """|v′ − v| / |v|, with the words on the left replaced: the mean over uses that have any. NaN if none."""
    right: float
    """The same for the right."""


def share_of_context(vectors: Float[np.ndarray, "uses dim"], spellings: Sequence[tuple[int, ...]]) -> float:
    """See `Influence.share`; kin to the measures of Ethayarajh 2019, section 3.3.

    `spellings`: the pieces of the word in each use.
    """
    counts = Counter(spellings)
    compared = [counts[spelling] > 1 for spelling in spellings]
    exact = vectors.astype(np.float64)
    differing, whole = from_the_mean(exact, spellings)[compared], exact[compared]
    return float((differing**2).sum() / (whole**2).sum()) if whole.size else float("nan")


def from_the_mean(
    vectors: Float[np.ndarray, "uses dim"], spellings: Sequence[tuple[int, ...]]
) -> Float[np.ndarray, "uses dim"]:
    """Each vector less the mean of those whose word is spelt alike."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for use, spelling in enumerate(spellings):
        alike.setdefault(spelling, []).append(use)
    centred = vectors.copy()
    for members in alike.values():
        centred[members] -= vectors[members].mean(0)
    return centred


def influences(
    model: Seq2Seq,
    uses: Sequence[Use],
    vectors: dict[str, Float[np.ndarray, "uses dim"]],
    words: Sequence[tuple[int, ...]],
    tokenizer: Tokenizer,
    *,
    seed: int = 1,
) -> dict[str, Influence]:
    """Of each layer, by name.

    `vectors`: those of the uses, by layer. `words`: the pieces of words to put in place of others.
    """
    draw = random.Random(check_seed(seed))
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for word in words:
        by_length.setdefault(len(word), []).append(word)
    left = _changes(model, uses, vectors, _parts(uses, tokenizer, before=True), by_length, draw)
    right = _changes(model, uses, vectors, _parts(uses, tokenizer, before=False), by_length, draw)
    spellings = [use.spelling for use in uses]
    return {
        name: Influence(share_of_context(vectors[name], spellings), left[name], right[name])
        for name in vectors
    }


def _parts(uses: Sequence[Use], tokenizer: Tokenizer, *, before: bool) -> list[list[range]]:
    """For each use, the places of the pieces of each word before it, or after it; never the end."""
    parts = []
    for use in uses:
        _, word_of_piece = words_of(use.sentence, tokenizer.piece_spans(use.sentence))
        side = range(use.first) if before else range(use.last, len(use.ids) - 1)
        found = groups([word_of_piece[place] for place in side])
        parts.append([range(side.start + one.start, side.start + one.stop) for one in found])
    return parts


def _changes(
    model: Seq2Seq,
    uses: Sequence[Use],
    vectors: dict[str, Float[np.ndarray, "uses dim"]],
    parts: list[list[range]],
    words: dict[int, list[tuple[int, ...]]],
    draw: random.Random,
) -> dict[str, float]:
    """By how much of its length the word's vector changes when `parts` are replaced, by layer."""
    changes: dict[str, list[float]] = {name: [] for name in vectors}
    for _ in range(_DRAWS):
        replaced = [_replaced(use.ids, part, words, draw) for use, part in zip(uses, parts, strict=True)]
        others = word_vectors(model, uses, replaced)
        differ = [other != use.ids for other, use in zip(replaced, uses, strict=True)]
        for name, before in vectors.items():
            exact = before[differ].astype(np.float64)
            moved = np.linalg.norm(others[name][differ].astype(np.float64) - exact, axis=1)
            changes[name] += (moved / np.linalg.norm(exact, axis=1)).tolist()
    return {name: float(np.mean(found)) if found else float("nan") for name, found in changes.items()}


def _replaced(
    ids: tuple[int, ...], parts: list[range], words: dict[int, list[tuple[int, ...]]], draw: random.Random
) -> tuple[int, ...]:
    """The pieces with another word of as many pieces in each part, wherever there is one."""
    pieces = list(ids)
    for part in parts:
        now = ids[part.start : part.stop]
        candidates = words.get(len(part), [])
        chosen = draw.randrange(len(candidates)) if candidates else 0
        if candidates and candidates[chosen] == now:
            chosen = (chosen + 1) % len(candidates)
        if candidates:
            pieces[part.start : part.stop] = candidates[chosen]
    return tuple(pieces)
