"""What context does to a word: its vectors in each sentence, after each layer of an encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.config import nearest
from atonce.data.prepare import open_prepared
from atonce.data.tokenizer import Tokenizer
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.load import load
from atonce.decoding.translator import Translator
from atonce.errors import DataError, RecipeError, RunError
from atonce.explain.context_figure import context_figure
from atonce.explain.context_vectors import (
    ContextInfluence,
    Use,
    influences,
    tokens_of_words,
    uses_of,
    word_vectors,
)
from atonce.explain.recording import number_of
from atonce.explain.words import words_of
from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette
from atonce.result import Table, to_plain
from atonce.shapes import Float

if TYPE_CHECKING:
    import altair

_MOST_USES = 300
_SENTENCES_OF_WORDS = 1_000
"""Sentences whose words replace others."""


@dataclass(frozen=True)
class Neighbour:
    """A use whose vector is close to that of another."""

    use: Use
    similarity: float
    """The cosine of both vectors."""


@dataclass(frozen=True, eq=False, repr=False)
class Context(Figure):
    """The uses of a word with its vectors. `atonce.context` gives one.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    kind = "atonce context"
    noun = "picture of context"

    word: str
    model: str
    """Whose vectors they are, such as the name of the run."""
    searched: int
    """Number of sentences that were searched."""
    uses: tuple[Use, ...]
    vectors: dict[str, Float[np.ndarray, "uses dim"]]
    """By layer: "embedding", "layer 1", …; the mean over the word's tokens."""
    influence: dict[str, ContextInfluence]
    """By layer: how much context changes the vector, and from which side."""
    shown: tuple[str, ...]
    """The layers that the figure plots."""

    def __repr__(self) -> str:
        return f"<Context of {self.word!r} in {self.model}: {len(self.uses)} uses>"

    def nearest(self, use: int, *, layer: str | None = None, count: int = 3) -> list[Neighbour]:
        """The uses whose vectors are most like that of use number `use`, from 0, most similar first.

        `layer`: by its name; without it, the last.
        """
        vectors = self.vectors[layer or list(self.vectors)[-1]].astype(np.float64)
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        similarities = directions @ directions[use]
        # Stable: of uses that are as similar, the first stays first.
        others = [other for other in np.argsort(-similarities, kind="stable") if other != use]
        return [Neighbour(self.uses[other], float(similarities[other])) for other in others[:count]]

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return context_figure(
            self.word, self.model, self.uses, self.influence,
            {name: self.vectors[name] for name in self.shown}, palette,
        )  # fmt: skip

    def summary(self, *, nearest: int = 3) -> dict[str, Any]:
        """All but the vectors, as plain lists, numbers and texts: each layer, and each use.

        `nearest`: how many nearest neighbours are listed by number with each use, for every layer shown.
        """
        numbers = {use: number for number, use in enumerate(self.uses)}
        return {
            "kind": self.kind,
            "version": self.version,
            "model": self.model,
            "word": self.word,
            "searched": self.searched,
            "layers": to_plain(self.influence),
            "uses": [
                {
                    "sentence": use.sentence,
                    "begin": use.begin,
                    "end": use.end,
                    "nearest": {
                        layer: [
                            {"use": numbers[one.use], "similarity": one.similarity}
                            for one in self.nearest(number, layer=layer, count=nearest)
                        ]
                        for layer in self.shown
                    },
                }
                for number, use in enumerate(self.uses)
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """The summary and the vectors, by layer and use."""
        return {**self.summary(), "vectors": to_plain(self.vectors)}

    @property
    def title(self) -> str:
        """The title of its page."""
        return f"“{self.word}” in context: {self.model}"

    def facts(self) -> list[tuple[str, str]]:
        """How many uses were found, in how many sentences."""
        return [("uses", f"{len(self.uses):,} in {self.searched:,} sentences")]

    @property
    def alt_text(self) -> str:
        """The alternative text."""
        return f"How context changes the vectors of {self.word!r}. The tables have the numbers and the uses."

    def tables(self) -> list[Table]:
        """The effect of each layer, and the uses nearest to each in the last layer shown."""
        layer = self.shown[-1]
        near = [
            "\n".join(f"{one.similarity:.3f} {one.use.marked}" for one in self.nearest(number, layer=layer))
            for number in range(len(self.uses))
        ]
        return [
            Table(
                "What context does to the vector",
                "Share of its squared length that differs from use to use; relative change when the words of "
                "one side are replaced.",
                ("", "share", "left", "right"),
                tuple(
                    (name, f"{one.share:.3f}", f"{one.left:.3f}", f"{one.right:.3f}")
                    for name, one in self.influence.items()
                ),
            ),
            Table(
                f"Nearest uses in {layer}",
                "Cosine similarity.",
                (),
                tuple((use.marked, found) for use, found in zip(self.uses, near, strict=True)),
            ),
        ]

    def marks(self) -> int:
        """How many uses it plots, in all layers."""
        return len(self.uses) * len(self.shown)


def context(
    model: Translator | Classifier | ImageReader | str | Path,
    word: str,
    sentences: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    ignore_case: bool = False,
    most: int = _MOST_USES,
) -> Context:
    """The vectors of `word` in `sentences` after each layer of the encoder of `model`.

    `model`: what `atonce.load` gave, or a run folder; without `sentences`, those that the run was validated
    and tested on. `layer`: "embedding", or the number of a layer, 0 being the embedding; by default the
    figure plots all. `ignore_case`: count "The" as "the". `most`: maximum number of uses, the first ones.

    Raises DataError if the word is not used twice, RecipeError for an unknown layer, and RunError if the
    model reads images, or needs sentences.
    """
    system = load(model) if isinstance(model, str | Path) else model
    tokenizer, longest = _reader(system)
    if sentences is None:
        if not isinstance(model, str | Path):
            raise RunError(
                "there are no sentences to search",
                why="a model alone does not know what it was tested on",
                fix="give sentences, or the run folder in place of the model",
            )
        prepared = open_prepared(Path(model))
        sentences = [str(pair.source) for pair in (*prepared.valid_pairs, *prepared.test_pairs)]
    uses = uses_of(word, sentences, tokenizer, longest=longest, most=most, ignore_case=ignore_case)
    if len(uses) < 2:  # what context changes is measured from use to use
        raise _too_few(word, len(uses), sentences, tokenizer, ignore_case=ignore_case)
    vectors = word_vectors(system.model, uses)
    shown = _shown(layer, list(vectors))
    others = [*(use.sentence for use in uses), *islice(sentences, _SENTENCES_OF_WORDS)]
    words = tokens_of_words(dict.fromkeys(others), tokenizer)
    return Context(
        word, system.name, len(sentences), tuple(uses), vectors,
        influences(system.model, uses, vectors, words, tokenizer), shown,
    )  # fmt: skip


def _reader(system: Translator | ImageReader | Classifier) -> tuple[Tokenizer, int]:
    """The tokenizer of the source, and how many tokens of a text the model reads."""
    if isinstance(system, Translator):
        return system.tokenizer, system.longest_source
    if isinstance(system, Classifier) and isinstance(system.io_spec.source, Tokenizer):
        return system.io_spec.source, system.longest_source
    raise RunError(
        f"{system.name} reads no words",
        why="it was trained to read images",
        fix="see its attention over an image: atonce heatmap RUN IMAGE --out FILE",
    )


def _shown(layer: str | None, names: list[str]) -> tuple[str, ...]:
    if layer is None:
        return tuple(names)
    if layer in names:
        return (layer,)
    if (number := number_of(layer)) is not None and number < len(names):
        return (names[number],)
    raise RecipeError(
        f"there is no layer {layer[:100]!r}",
        why=f"the encoder has {len(names) - 1}",
        fix=f"give a number from 0 (embedding) to {len(names) - 1}, or one of: {', '.join(names)}",
    )


def _too_few(
    word: str, found: int, sentences: Sequence[str], tokenizer: Tokenizer, *, ignore_case: bool
) -> DataError:
    searched = f"{len(sentences):,} sentence{'' if len(sentences) == 1 else 's'} searched"
    more = "give more sentences with it" + ("" if ignore_case else ", or ignore case (--ignore-case)")
    if found:
        return DataError(f"{word!r} is used only once", why=f"{searched}; nothing to compare", fix=more)
    known = dict.fromkeys(
        text.strip(".,:;!?\"'()[]")
        for sentence in tokenizer.normalized_lines(sentences)
        for text in words_of(sentence, tokenizer.token_spans(sentence))[0]
    )
    hint = nearest(word, [text for text in known if text]) if known else ""
    return DataError(
        f"{word!r} is not used in the sentences",
        why=f"{searched}, and it occurs in none of them as a word of its own",
        fix=f"{hint} Or {more}" if hint.startswith("did") else more,
    )
