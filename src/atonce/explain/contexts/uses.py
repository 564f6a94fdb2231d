"""The uses of a word: where it stands in sentences, as the pieces that a model reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from atonce.data.tokenizer import Tokenizer
from atonce.explain.texts.words import places_of, words_of


@dataclass(frozen=True)
class Use:
    """One place where a word stands."""

    sentence: str
    begin: int
    """The first character of the word in the sentence, and where it ends."""
    end: int
    ids: tuple[int, ...]
    """The pieces of the sentence, `eos` at the end."""
    first: int
    """The first of the pieces that touch the word, and the one after the last."""
    last: int

    @property
    def spelling(self) -> tuple[int, ...]:
        """The pieces of the word itself: "The" and "the" are one word, spelt in two ways."""
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

    Sentences and word are taken in the spelling that the tokenizer has for them.
    Sentences are read up to `longest` pieces, as models read them; what stands behind is not a use.
    """
    found: list[Use] = []
    word = tokenizer.normalized(word)
    for sentence in dict.fromkeys(tokenizer.normalized_lines(list(sentences))):
        places = places_of(word, sentence, ignore_case=ignore_case)
        if not places:
            continue
        ids = tokenizer.encode(sentence)[:longest]
        spans = tokenizer.piece_spans(sentence)[: len(ids)]
        for begin, end in places:
            touching = [place for place, span in enumerate(spans) if span[0] < end and begin < span[1]]
            if touching and spans[-1][1] >= end:
                found.append(Use(sentence, begin, end, (*ids, tokenizer.eos), touching[0], touching[-1] + 1))
        if len(found) >= most:
            return found[:most]
    return found


def pieces_of_words(sentences: Iterable[str], tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    """The pieces of every different word of the sentences, in the order in which they come."""
    words: dict[tuple[int, ...], None] = {}
    for sentence in tokenizer.normalized_lines(list(sentences)):
        ids = tokenizer.encode(sentence)
        _, word_of_piece = words_of(sentence, tokenizer.piece_spans(sentence))
        for group in groups(word_of_piece):
            words[tuple(ids[group.start : group.stop])] = None
    return list(words)


def groups(numbers: Sequence[int]) -> list[range]:
    """The stretches of equal numbers."""
    bounds = [place for place in range(1, len(numbers)) if numbers[place] != numbers[place - 1]]
    return [range(*ends) for ends in pairwise([0, *bounds, len(numbers)])] if numbers else []
