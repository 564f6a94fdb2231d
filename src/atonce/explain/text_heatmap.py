"""Heat maps of texts: the attention of a model while it translates one, and the figure that shows it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from atonce.decoding.translation import translation_of
from atonce.decoding.translator import Translator
from atonce.explain.recording import (
    AttentionRecord,
    LayerAttention,
    choose_heads,
    choose_layer,
    recorded_attention,
)
from atonce.explain.scoring import as_forced, target_features
from atonce.explain.text_figure import text_figure
from atonce.explain.words import MERGE_RULE, AttentionMap, Side, merge_tokens, without_end
from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette
from atonce.result import HIDDEN, Table
from atonce.shapes import Float

if TYPE_CHECKING:
    import altair

End = Literal["shown", "hidden", "renormalised"]
"""How the column of the end of the sentence is shown."""
Links = tuple[tuple[int, int], ...]
"""(source word, output word), counted from 0, in the order of the output."""
TOKENS_RULE = "Each row and column is one token."
DIFFERENCE_RULE = "Difference: blue where the first model has more weight, brown where the second has."


@dataclass(frozen=True, eq=False, repr=False)
class Heatmap(Figure):
    """One or more attention maps of a sentence: source words along the top, output words down the left.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    kind = "atonce heat map"
    noun = "heat map"

    model: str = field(kw_only=True)
    """Whose attention it is, such as the name of the run."""
    source: str = field(kw_only=True)
    """The text that was read, whole."""
    output: str = field(kw_only=True)
    """The text that was written, whole."""
    maps: tuple[AttentionMap, ...] = field(metadata=HIDDEN)

    def __post_init__(self) -> None:
        if not self.maps:
            raise ValueError("a heat map needs at least one attention map")

    def __repr__(self) -> str:
        return f"<Heatmap of {self.model}: {self.source!r} → {self.output!r}>"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return text_figure(self.maps, self.model, palette)

    def to_dict(self) -> dict[str, Any]:
        """The figure's data as plain lists, numbers and texts. NaN becomes None."""
        # As attention: of influence, the shares that are drawn, and not the numbers behind them.
        return super().to_dict() | {"maps": [AttentionMap.to_dict(one) for one in self.maps]}

    @property
    def title(self) -> str:
        """The title of its page."""
        return f"What {self.model} looked at"

    @property
    def alt_text(self) -> str:
        """The alternative text."""
        titles = "; ".join(one.title for one in self.maps)
        return f"Heat map of {titles}. The table has the same numbers."

    def facts(self) -> list[tuple[str, str]]:
        """Both texts."""
        return [("source", self.source), ("output", self.output)]

    def tables(self) -> list[Table]:
        """The weights, a table for each map; the strongest of each row stands out."""
        return [_table(one) for one in self.maps]

    def marks(self) -> int:
        """How many cells it has."""
        return sum(one.weights.size for one in self.maps)


def _table(one: AttentionMap) -> Table:
    numbers = np.where(np.isnan(one.weights), 0.0, one.weights)
    strongest = (numbers > 0) & (numbers == numbers.max(1, keepdims=True, initial=0.0))
    return Table(
        one.title,
        one.rule,
        (f"{one.row_axis} \\ {one.column_axis}", *one.columns),
        tuple(
            (word, *("–" if np.isnan(weight) else f"{weight:.3f}" for weight in weights))
            for word, weights in zip(one.rows, one.weights, strict=True)
        ),
        strong={(row, column + 1) for row, column in np.argwhere(strongest).tolist()},
    )


def translation_heatmap(
    translator: Translator,
    text: str,
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
    end: End = "shown",
) -> Heatmap:
    """A heat map of a model's attention while it translates `text`, or writes `target`.

    `layer`: see `TranslationAttention.choose`. `head`: a number from 1, "mean", "max", or "all" for a grid.
    `words`: merge tokens to words. `end`: see `attention_maps`.
    Raises RunError if the model has no attention, RecipeError for an unknown layer or head.
    """
    attention = attention_of(translator, text, target)
    maps = attention_maps(attention, layer=layer, head=head, words=words, end=end)
    return Heatmap(maps, source=text, output=attention.target.text, model=translator.name)


@dataclass(frozen=True)
class TranslationAttention:
    """All attention of one translation."""

    source: Side
    target: Side
    record: AttentionRecord

    def choose(self, layer: str | None) -> LayerAttention:
        """A layer by its name in the record, by "mean", or by its number among the cross-attention layers.

        Without a name, the last of these. Raises RecipeError if there is no such layer.
        """
        return choose_layer(self.record, layer)


def attention_of(
    translator: Translator,
    text: str,
    target: str | Sequence[int] | None = None,
    *,
    without: Collection[int] = (),
) -> TranslationAttention:
    """Translate `text`, or force the translation `target`, and record all attention.

    `target`: a text, or tokens by number as search finds them. `without`: places of source tokens that are
    left out, see `Translator.source_tokens`: the record has no column for them.
    Raises RunError if the model has no attention, RecipeError for unknown tokens.
    """
    tokenizer = translator.tokenizer
    # A text that search reads in segments is recorded as one; one that is cut off is cut off here, too.
    reads_as_search = bool(without) or translator.whole
    read = translator.source_tokens(text, without=without) if reads_as_search else tokenizer.encode(text)
    if target is None and without:
        target = translation_of(translator.hypotheses(text, without=without), tokenizer, 1).text
    elif target is None:
        # Its text, not its tokens, so that giving the same text as target gives the same map.
        target = translator.translate(text).text
    # Forced, and not recorded while it searches: one pass, and one row for each token that was kept.
    forced, model = as_forced(translator, read, target), translator.model
    with translator.evaluating(), torch.inference_mode(), recorded_attention(model) as record:
        target_features(model, model.encode(*translator.read([read])), forced.written)
    return TranslationAttention(forced.source, forced.target, record)


def attention_maps(
    attention: TranslationAttention,
    *,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
    end: End = "shown",
) -> tuple[AttentionMap, ...]:
    """The maps of a layer, one for each chosen head. Options are those of `atonce.heatmap`.

    `end`: whether the column of the end of the sentence, where heads rest that have nothing to attend to, is
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
    attention: TranslationAttention,
    layer: LayerAttention,
    weights: Float[np.ndarray, "query_len key_len"],
    title: str,
    *,
    words: bool,
) -> AttentionMap:
    rows = attention.source if layer.role == "encoder-self" else attention.target
    columns = attention.target if layer.role == "decoder-self" else attention.source
    row_axis, column_axis = ("source" if side is attention.source else "output" for side in (rows, columns))
    if not words:
        return AttentionMap(rows.tokens, columns.tokens, weights, title, TOKENS_RULE, row_axis, column_axis)
    merged = merge_tokens(weights, rows.word_of_token, columns.word_of_token)
    return AttentionMap(rows.words, columns.words, merged, title, MERGE_RULE, row_axis, column_axis)


def compare_heatmap(
    one: Translator,
    other: Translator,
    text: str,
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
) -> Heatmap:
    """Both maps of one output, and their difference where they have the same words, or tokens.

    `target`: the output that both are forced to; what `one` translates without it. Other options: see
    `translation_heatmap`. Raises RunError if one of them has no attention.
    """
    if target is None:
        target = one.translate(text).text
    # Both write the same output: with outputs of their own, their maps would have different rows.
    first, second = (
        attention_maps(attention_of(model, text, target), layer=layer, head=head, words=words)[0]
        for model in (one, other)
    )
    # One rule for both: the figure writes each different rule once.
    rule = f"{one.name}: {first.title}; {other.name}: {second.title}. {first.rule}"
    maps = [replace(first, title=one.name, rule=rule), replace(second, title=other.name, rule=rule)]
    # Models with vocabularies of their own may cut a text otherwise, and then no cell has its like.
    if (first.rows, first.columns) == (second.rows, second.columns):
        maps.append(difference(first, second))
    return Heatmap(tuple(maps), source=text, output=target, model=f"{one.name} and {other.name}")


def difference(first: AttentionMap, second: AttentionMap) -> AttentionMap:
    """The weights of the first less those of the second. Both have the same rows and columns."""
    return AttentionMap(
        first.rows, first.columns, first.weights - second.weights, "difference",
        DIFFERENCE_RULE, row_axis=first.row_axis, column_axis=first.column_axis,
        signed=True, measure="difference of weights",
    )  # fmt: skip


def word_links(attention: TranslationAttention, layer: str | None = None) -> Links:
    """The source word that each output word attends to most, by the mean over heads.

    An output word that attends most to the end of the sentence has no link, and ends are not linked. `layer`:
    see `TranslationAttention.choose`. Attention is a hint of where a word comes from, not a proof.
    """
    weights = attention.choose(layer).weights[0].float().mean(0).cpu().numpy()
    merged = merge_tokens(weights, attention.target.word_of_token, attention.source.word_of_token)
    strongest = np.argmax(merged, axis=1)
    # Heads rest on the end where they have nothing to look for: such a word comes from nowhere.
    end = len(attention.source.words) - 1
    return tuple((int(source), target) for target, source in enumerate(strongest[:-1]) if source != end)


def pharaoh(links: Links) -> str:
    """Links as "0-0 1-2", the format of Pharaoh and of the tools after it."""
    return " ".join(f"{source}-{target}" for source, target in links)
