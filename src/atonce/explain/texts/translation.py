"""What a model looks at while it translates one text, ready to be drawn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from atonce.data.tokenizer import Tokenizer
from atonce.decoding.load import load_translator
from atonce.decoding.translator import Translator, translation_of
from atonce.explain.choice import choose_heads, choose_layer
from atonce.explain.record import AttentionRecord, LayerAttention, recorded_attention
from atonce.explain.texts.heatmap import Heatmap
from atonce.explain.texts.words import (
    END_OF_SENTENCE,
    MERGE_RULE,
    AttentionMap,
    merge_pieces,
    without_end,
    words_of,
)

End = Literal["shown", "hidden", "renormalised"]
"""What becomes of the column of the end of the sentence."""
PIECES_RULE = "Each row and column is one piece."


@dataclass(frozen=True)
class Side:
    """One text as pieces and as words; the end of the sentence is the last of both.

    Without an end is what was cut off.
    """

    text: str
    pieces: tuple[str, ...]
    words: tuple[str, ...]
    word_of_piece: tuple[int, ...]

    def places(self, words: Collection[int]) -> list[int]:
        """Where the pieces of these words are, words and places counted from 0."""
        wanted = frozenset(words)
        return [place for place, word in enumerate(self.word_of_piece) if word in wanted]


@dataclass(frozen=True)
class TranslationAttention:
    """All attention of one translation."""

    source: Side
    target: Side
    record: AttentionRecord

    def choose(self, layer: str | None) -> LayerAttention:
        """A layer by its name in the record, by "mean", or by its number among those that look at the source.

        Without a name, the last of these. Raises RecipeError if there is none such.
        """
        return choose_layer(self.record, layer)


def attention_of(
    translator: Translator,
    text: str,
    target: str | Sequence[int] | None = None,
    *,
    without: Collection[int] = (),
) -> TranslationAttention:
    """Translate `text`, or force the translation `target`, and record all attention on the way.

    `target`: a text, or pieces by number as search finds them. `without`: places of source pieces that are
    left out, see `Translator.source_pieces`: the record has no column for them.
    Raises RunError if the model has no attention, RecipeError for pieces that there are not.
    """
    tokenizer = translator.tokenizer
    # A text that search reads in segments is looked at as one; of one that is read up to a place, no more is.
    reads_as_search = bool(without) or translator.whole
    source = translator.source_pieces(text, without=without) if reads_as_search else tokenizer.encode(text)
    if target is None and without:
        target = translation_of(translator.hypotheses(text, without=without), tokenizer, 1).text
    elif target is None:
        target = translator.translate([text])[0].text
    written = translator.target_pieces(target)
    model = translator.model
    target_in = torch.tensor([[tokenizer.bos, *written[:-1]]], device=translator.device)
    with translator.evaluating(), torch.inference_mode(), recorded_attention(model) as record:
        model(*translator.read([source]), target_in)
    read = side_of(tokenizer, [*source, tokenizer.eos])
    return TranslationAttention(read, side_of(tokenizer, written), record)


def heatmap(
    model: Translator | str | Path,
    text: str,
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
    end: End = "shown",
) -> Heatmap:
    """A picture of what `model` looks at while it translates `text`.

    `model`: what `atonce.load` gave, or a run folder. `target`: a translation to force instead of the model's
    own. `layer`: see `TranslationAttention.choose`. `head`: a number from 1, "mean", "max", or "all" for a
    grid. `words`: merge pieces to words. `end`: see `attention_maps`. It shows
    itself in a notebook; `.save(path)` writes it to a file.
    Raises RunError if the model has no attention, RecipeError for a layer or head that it has not.
    """
    translator = model if isinstance(model, Translator) else load_translator(model)
    attention = attention_of(translator, text, target)
    maps = attention_maps(attention, layer=layer, head=head, words=words, end=end)
    return Heatmap(maps, source=text, output=attention.target.text, model=translator.name)


def attention_maps(
    attention: TranslationAttention,
    *,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
    end: End = "shown",
) -> tuple[AttentionMap, ...]:
    """The maps of a layer, one for each head asked for, with options as `heatmap` has them.

    `end`: whether the column of the end of the sentence, where heads look that have nothing to look for, is
    "shown", "hidden", or hidden and the rest "renormalised" to sum to one.
    """
    chosen = attention.choose(layer)
    maps = (
        _map(attention, chosen, weights.numpy(), title, words=words)
        for title, weights in choose_heads(chosen, head)
    )
    return tuple(
        one if end == "shown" else without_end(one, renormalised=end == "renormalised") for one in maps
    )


def _map(
    attention: TranslationAttention, layer: LayerAttention, weights: np.ndarray, title: str, *, words: bool
) -> AttentionMap:
    rows = attention.source if layer.role == "encoder-self" else attention.target
    columns = attention.target if layer.role == "decoder-self" else attention.source
    row_axis, column_axis = ("source" if side is attention.source else "output" for side in (rows, columns))
    if not words:
        return AttentionMap(rows.pieces, columns.pieces, weights, title, PIECES_RULE, row_axis, column_axis)
    merged = merge_pieces(weights, rows.word_of_piece, columns.word_of_piece)
    return AttentionMap(rows.words, columns.words, merged, title, MERGE_RULE, row_axis, column_axis)


def side_of(tokenizer: Tokenizer, text: str | Sequence[int]) -> Side:
    """A text with its end; or pieces by number, which end where the last of them is `eos`."""
    if isinstance(text, str):
        return side_of(tokenizer, [*tokenizer.encode(text), tokenizer.eos])
    has_end = len(text) > 0 and text[-1] == tokenizer.eos
    ids = text[:-1] if has_end else text
    spelt = tokenizer.decode(ids)
    words, word_of_piece = words_of(spelt, tokenizer.spans(ids))
    pieces = tokenizer.pieces(ids)
    if not has_end:
        return Side(spelt, tuple(pieces), tuple(words), tuple(word_of_piece))
    return Side(
        spelt,
        (*pieces, END_OF_SENTENCE),
        (*words, END_OF_SENTENCE),
        (*word_of_piece, len(words)),
    )
