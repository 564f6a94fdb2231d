"""The vectors of a word: where it is used, its vector after each layer, and how context changes that.

Words of one side are replaced by others with the same number of tokens. Nothing moves, so that a change is
due to the words and never to the position of the word itself.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.batching import batches_by_length, padded
from atonce.explain.words import places_of, words_of
from atonce.models.seq2seq import Seq2Seq
from atonce.seeds import check_seed
from atonce.shapes import Bool, Float, Int

_POSITIONS_AT_ONCE = 8_192
_DRAWS = 3
"""Replacements of each side of each use."""


@dataclass(frozen=True)
class Use:
    """One occurrence of a word."""

    sentence: str
    begin: int
    """The first character of the word in the sentence, and where it ends."""
    end: int
    ids: tuple[int, ...]
    """The tokens of the sentence, `eos` at the end."""
    first: int
    """The first of the tokens that touch the word, and the one after the last."""
    last: int

    @property
    def spelling(self) -> tuple[int, ...]:
        """The tokens of the word itself: "The" and "the" are one word, spelt in two ways."""
        return self.ids[self.first : self.last]

    @property
    def marked(self) -> str:
        """The sentence with the word in brackets."""
        text = self.sentence
        return f"{text[: self.begin]}[{text[self.begin : self.end]}]{text[self.end :]}"

    def excerpt(self, room: int) -> str:
        """The word in brackets with about so many characters of its neighbours, whole words of them."""
        before, after = self.sentence[: self.begin], self.sentence[self.end :]
        left = (
            before if len(before) <= room // 2 else "…" + before[len(before) - room // 2 :].partition(" ")[2]
        )
        right = after if len(after) <= room // 2 else after[: room // 2].rpartition(" ")[0] + "…"
        return f"{left}[{self.sentence[self.begin : self.end]}]{right}"


def uses_of(
    word: str,
    sentences: Iterable[str],
    tokenizer: Tokenizer,
    *,
    longest: int,
    most: int,
    ignore_case: bool = False,
) -> list[Use]:
    """The first `most` uses of `word`; of equal sentences only the first counts.

    Sentences and word are compared in the spelling of the tokenizer. Sentences are read up to `longest`
    tokens, as models read them; what comes after is not a use.
    """
    found: list[Use] = []
    # As the tokenizer spells it: a composed and a decomposed é are the same word.
    word = tokenizer.normalized(word)
    for sentence in dict.fromkeys(tokenizer.normalized_lines(list(sentences))):
        places = places_of(word, sentence, ignore_case=ignore_case)
        if not places:
            continue
        ids = tokenizer.encode(sentence)[:longest]
        spans = tokenizer.token_spans(sentence)[: len(ids)]
        for begin, end in places:
            touching = [place for place, span in enumerate(spans) if span[0] < end and begin < span[1]]
            if touching and spans[-1][1] >= end:
                found.append(Use(sentence, begin, end, (*ids, tokenizer.eos), touching[0], touching[-1] + 1))
        if len(found) >= most:
            return found[:most]
    return found


def tokens_of_words(sentences: Iterable[str], tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    """The tokens of every different word of the sentences, in order of appearance."""
    words: dict[tuple[int, ...], None] = {}
    for sentence in tokenizer.normalized_lines(list(sentences)):
        ids = tokenizer.encode(sentence)
        _, word_of_token = words_of(sentence, tokenizer.token_spans(sentence))
        for group in groups(word_of_token):
            words[tuple(ids[group.start : group.stop])] = None
    return list(words)


def groups(numbers: Sequence[int]) -> list[range]:
    """The runs of equal numbers."""
    bounds = [place for place in range(1, len(numbers)) if numbers[place] != numbers[place - 1]]
    return [range(*ends) for ends in pairwise([0, *bounds, len(numbers)])] if numbers else []


def layer_names(model: Seq2Seq) -> list[str]:
    """The embedding, and the layers of the encoder from 1."""
    return ["embedding", *(f"layer {number}" for number in range(1, len(model.encoder.layers) + 1))]


@torch.inference_mode()
def word_vectors(
    model: Seq2Seq, uses: Sequence[Use], sentences: Sequence[Sequence[int]] | None = None
) -> dict[str, Float[np.ndarray, "uses dim"]]:
    """For each layer by name, the vector of the word in each use: the mean over its tokens.

    `sentences`: other tokens than those of the uses, as many, with the word at the same place. Whatever they
    are, a use is read in a batch of the same shape, so that equal inputs give equal vectors to the last bit.
    """
    read = [use.ids for use in uses] if sentences is None else sentences
    device = next(model.parameters()).device
    found: dict[str, list[np.ndarray]] = {name: [np.empty(0)] * len(uses) for name in layer_names(model)}
    was_training = model.training
    model.eval()
    try:
        for indices in batches_by_length([len(ids) for ids in read], _POSITIONS_AT_ONCE):
            source, mask = padded([read[index] for index in indices], device)
            # The mean over the word's tokens: words of one and of several tokens have one vector each.
            for name, states in zip(found, layer_states(model, source, mask), strict=True):
                for row, index in enumerate(indices):
                    use = uses[index]
                    found[name][index] = states[row, use.first : use.last].mean(0).cpu().numpy()
    finally:
        model.train(was_training)
    return {name: np.stack(vectors) for name, vectors in found.items()}


def layer_states(
    model: Seq2Seq, source: Int[Tensor, "batch source_len"], mask: Bool[Tensor, "batch source_len"]
) -> list[Float[Tensor, "batch source_len dim"]]:
    """The states of all positions: those that the encoder is given, and those after each of its layers."""
    embedded, real = model.source.read(source, mask)
    with _kept(model.encoder.layers) as kept:
        model.encoder(embedded, real)
    return [embedded, *kept]


@contextmanager
def _kept(layers: nn.ModuleList) -> Iterator[list[Float[Tensor, "batch source_len dim"]]]:
    """Within the block, the output of each layer is added to the list, in the order in which they run."""
    # Hooks, so that no encoder needs a second way to run that returns all of its states.
    kept: list[Float[Tensor, "batch source_len dim"]] = []

    def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
        # Recurrent layers give their last state beside the states.
        kept.append(output[0] if isinstance(output, tuple) else output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class ContextInfluence:
    """What context does to the vectors of a word in one layer."""

    share: float
    """Of the vectors' mean squared length, how much differs from use to use: Σ|v − v̄|² / Σ|v|². 0 where all
    uses have the same vector, 1 where they have nothing in common. Uses spelt with other tokens ("The",
    "the") are compared among themselves. In a net with positions, where the word stands counts too. NaN if no
    two uses are spelt alike."""
    left: float
    """|v′ − v| / |v|, with the words on the left replaced: the mean over uses that have any. NaN if none."""
    right: float
    """The same for the right."""


def share_of_context(vectors: Float[np.ndarray, "uses dim"], spellings: Sequence[tuple[int, ...]]) -> float:
    """See `ContextInfluence.share`; kin to the measures of Ethayarajh 2019, section 3.3.

    `spellings`: the tokens of the word in each use.
    """
    counts = Counter(spellings)
    compared = [counts[spelling] > 1 for spelling in spellings]
    # In double: where context changes little, float32 squares would hide the difference.
    exact = vectors.astype(np.float64)
    differing, whole = from_the_mean(exact, spellings)[compared], exact[compared]
    return float((differing**2).sum() / (whole**2).sum()) if whole.size else float("nan")


def from_the_mean(
    vectors: Float[np.ndarray, "uses dim"], spellings: Sequence[tuple[int, ...]]
) -> Float[np.ndarray, "uses dim"]:
    """Each vector less the mean of those with the same spelling."""
    # Other tokens are another input: that "The" and "the" differ is not due to context.
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
) -> dict[str, ContextInfluence]:
    """The influence of context on each layer, by name.

    `vectors`: those of the uses, by layer. `words`: the tokens of words that replace others.
    """
    # Words of real sentences and not random tokens: no model was trained on words that do not exist.
    draw = random.Random(check_seed(seed))
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for word in words:
        by_length.setdefault(len(word), []).append(word)
    left = _changes(model, uses, vectors, _parts(uses, tokenizer, before=True), by_length, draw)
    right = _changes(model, uses, vectors, _parts(uses, tokenizer, before=False), by_length, draw)
    spellings = [use.spelling for use in uses]
    return {
        name: ContextInfluence(share_of_context(vectors[name], spellings), left[name], right[name])
        for name in vectors
    }


def _parts(uses: Sequence[Use], tokenizer: Tokenizer, *, before: bool) -> list[list[range]]:
    """For each use, the places of the tokens of each word before it, or after it; never the end."""
    parts = []
    for use in uses:
        _, word_of_token = words_of(use.sentence, tokenizer.token_spans(use.sentence))
        side = range(use.first) if before else range(use.last, len(use.ids) - 1)
        found = groups([word_of_token[place] for place in side])
        # Whole words: a text with half a word replaced is like nothing that the model was trained on.
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
    # The mean of several, as how much one replacement changes is a matter of chance.
    for _ in range(_DRAWS):
        replaced = [_replaced(use.ids, part, words, draw) for use, part in zip(uses, parts, strict=True)]
        others = word_vectors(model, uses, replaced)
        # A use whose words had no replacement says nothing of that side.
        differ = [other != use.ids for other, use in zip(replaced, uses, strict=True)]
        for name, before in vectors.items():
            exact = before[differ].astype(np.float64)
            moved = np.linalg.norm(others[name][differ].astype(np.float64) - exact, axis=1)
            changes[name] += (moved / np.linalg.norm(exact, axis=1)).tolist()
    return {name: float(np.mean(found)) if found else float("nan") for name, found in changes.items()}


def _replaced(
    ids: tuple[int, ...], parts: list[range], words: dict[int, list[tuple[int, ...]]], draw: random.Random
) -> tuple[int, ...]:
    """The tokens with another word of as many tokens in each part, wherever there is one."""
    tokens = list(ids)
    for part in parts:
        candidates = words.get(len(part))
        if candidates:
            chosen = draw.randrange(len(candidates))
            if candidates[chosen] == ids[part.start : part.stop]:  # no replacement: take the next
                chosen = (chosen + 1) % len(candidates)
            tokens[part.start : part.stop] = candidates[chosen]
    return tuple(tokens)
