"""What a model looks at while it translates one text, ready to be drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from atonce.decoding.translator import Translator
from atonce.errors import RecipeError
from atonce.explain.heatmap import Heatmap
from atonce.explain.record import AttentionRecord, LayerAttention, recorded_attention
from atonce.explain.words import END_OF_SENTENCE, MERGE_RULE, AttentionMap, merge_pieces, words_of

PIECES_RULE = "Each row and column is one piece."


@dataclass(frozen=True)
class Side:
    """One text as pieces and as words; the end of the sentence is the last of both."""

    text: str
    pieces: tuple[str, ...]
    words: tuple[str, ...]
    word_of_piece: tuple[int, ...]


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
        if layer is not None and layer in self.record:
            return self.record[layer]
        cross = self.record.of_role("cross")
        if not cross:
            raise RecipeError(
                "no attention layer looks at the source",
                why="the decoder has no attention, only the encoder has",
                fix=f"give one of: {', '.join(self.record)}",
            )
        if layer is None:
            return cross[-1]
        if layer == "mean":
            mean = torch.stack([one.weights for one in cross]).mean(0)
            return LayerAttention(f"mean of {len(cross)} layers", "cross", mean)
        if layer.isdecimal() and 1 <= int(layer) <= len(cross):
            return cross[int(layer) - 1]
        raise RecipeError(
            f"there is no attention layer {layer!r}",
            why=f"{len(cross)} layers look at the source",
            fix=f"give a number from 1 to {len(cross)}, mean, or one of: {', '.join(self.record)}",
        )


def attention_of(translator: Translator, text: str, target: str | None = None) -> TranslationAttention:
    """Translate `text`, or force the translation `target`, and record all attention on the way.

    Raises RunError if the model has no attention.
    """
    if target is None:
        target = translator.translate([text])[0].text
    tokenizer = translator.tokenizer
    model = translator.model.eval()
    target_in = torch.tensor([[tokenizer.bos, *tokenizer.encode(target)]], device=translator.device)
    with torch.inference_mode(), recorded_attention(model) as record:
        model(*translator.read([tokenizer.encode(text)]), target_in)
    return TranslationAttention(_side(translator, text), _side(translator, target), record)


def heatmap(
    model: Translator | str | Path,
    text: str,
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
) -> Heatmap:
    """A picture of what `model` looks at while it translates `text`.

    `model`: what `atonce.load` gave, or a run folder. `target`: a translation to force instead of the model's
    own. `layer`: see `TranslationAttention.choose`. `head`: a number from 1, "mean", or "all" for a grid.
    `words`: merge pieces to words. It shows itself in a notebook; `.save(path)` writes it to a file.
    Raises RunError if the model has no attention, RecipeError for a layer or head that it has not.
    """
    translator = model if isinstance(model, Translator) else Translator.open(model)
    attention = attention_of(translator, text, target)
    chosen = attention.choose(layer)
    maps = [_map(attention, chosen, weights, title, words=words) for title, weights in _heads(chosen, head)]
    return Heatmap(tuple(maps), source=text, output=attention.target.text, model=translator.name)


def _heads(layer: LayerAttention, head: int | str) -> list[tuple[str, np.ndarray]]:
    """Titles and weights `(query_len, key_len)` of the heads asked for."""
    weights = layer.weights[0].float().cpu().numpy()
    count = len(weights)
    if head == "mean":
        title = layer.layer if count == 1 else f"{layer.layer}, mean of {count} heads"
        return [(title, weights.mean(0))]
    if head == "all":
        return [(f"{layer.layer}, head {n} of {count}", one) for n, one in enumerate(weights, start=1)]
    if str(head).isdecimal() and 1 <= int(head) <= count:
        return [(f"{layer.layer}, head {head} of {count}", weights[int(head) - 1])]
    raise RecipeError(
        f"there is no head {head!r}",
        why=f"{layer.layer} has {count} head{'s' if count > 1 else ''}",
        fix=f"give a number from 1 to {count}, mean or all",
    )


def _map(
    attention: TranslationAttention, layer: LayerAttention, weights: np.ndarray, title: str, *, words: bool
) -> AttentionMap:
    rows = attention.source if layer.role == "encoder-self" else attention.target
    columns = attention.target if layer.role == "decoder-self" else attention.source
    axes = {
        "row_axis": "source" if rows is attention.source else "output",
        "column_axis": "source" if columns is attention.source else "output",
    }
    if not words:
        return AttentionMap(rows.pieces, columns.pieces, weights, title, PIECES_RULE, **axes)
    merged = merge_pieces(weights, rows.word_of_piece, columns.word_of_piece)
    return AttentionMap(rows.words, columns.words, merged, title, MERGE_RULE, **axes)


def _side(translator: Translator, text: str) -> Side:
    tokenizer = translator.tokenizer
    words, word_of_piece = words_of(text, tokenizer.piece_spans(text))
    pieces = tokenizer.pieces(tokenizer.encode(text))
    return Side(
        text,
        (*pieces, END_OF_SENTENCE),
        (*words, END_OF_SENTENCE),
        (*word_of_piece, len(words)),
    )
