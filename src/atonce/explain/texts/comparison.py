"""Two models on the same sentence: what each looked at, and the difference."""

from dataclasses import replace

from atonce.decoding.translator import Translator
from atonce.explain.texts.heatmap import Heatmap
from atonce.explain.texts.translation import attention_maps, attention_of
from atonce.explain.texts.words import AttentionMap

DIFFERENCE_RULE = "Of the difference: blue where the first looked more, brown where the second did."


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
    """Both maps of one output, and their difference where they have the same words, or pieces.

    `target`: the output that both are forced to; what `one` translates without it. Other options as `heatmap`
    has them. Raises RunError if one of them has no attention.
    """
    if target is None:
        target = one.translate([text])[0].text
    first, second = (
        attention_maps(attention_of(model, text, target), layer=layer, head=head, words=words)[0]
        for model in (one, other)
    )
    looked = f"{one.name}: {first.title}; {other.name}: {second.title}. {first.rule}"
    maps = [
        replace(first, title=one.name, rule=looked),
        replace(second, title=other.name, rule=looked),
    ]
    if (first.rows, first.columns) == (second.rows, second.columns):
        maps.append(difference(first, second))
    return Heatmap(tuple(maps), source=text, output=target, model=f"{one.name} and {other.name}")


def difference(first: AttentionMap, second: AttentionMap) -> AttentionMap:
    """How much more the first looked, cell by cell. Both have the same rows and columns."""
    return AttentionMap(
        first.rows, first.columns, first.weights - second.weights, "difference",
        DIFFERENCE_RULE, row_axis=first.row_axis, column_axis=first.column_axis,
        signed=True, measure="difference of weights",
    )  # fmt: skip
