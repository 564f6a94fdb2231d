"""Which layer of an attention record to show, and which of its heads."""

import torch

from atonce.errors import RecipeError
from atonce.explain.record import AttentionRecord, LayerAttention
from atonce.layers.attention import Role
from atonce.shapes import Float

_SHOWN = 100
"""Characters of what was given that a message repeats."""
_DIGITS = 9
"""Of a number that could be of a layer or head. Python reads none of some thousand digits."""
_LOOKS_AT_SOURCE = {"cross": "looks at the source", "encoder-self": "looks from the source at itself"}


def number_of(text: str) -> int | None:
    """The number that a text of digits says; None for any other, and for one of too many digits."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def choose_layer(record: AttentionRecord, layer: str | None, role: Role = "cross") -> LayerAttention:
    """A layer by its name in the record, by "mean", or by its number among those of `role`.

    Without a name, the last of these. Raises RecipeError if there is none such.
    """
    if layer is not None and layer in record:
        return record[layer]
    found = record.of_role(role)
    if not found:
        raise RecipeError(
            f"no attention layer {_LOOKS_AT_SOURCE[role]}",
            why="the decoder has no attention, only the encoder has"
            if role == "cross"
            else "the encoder has no attention",
            fix=f"give one of: {', '.join(record)}",
        )
    if layer is None:
        return found[-1]
    if layer == "mean":
        mean = torch.stack([one.weights for one in found]).mean(0)
        return LayerAttention(f"mean of {len(found)} layers", role, mean)
    if (number := number_of(layer)) is not None and 1 <= number <= len(found):
        return found[number - 1]
    looks = _LOOKS_AT_SOURCE[role].replace("looks", "look" if len(found) > 1 else "looks")
    raise RecipeError(
        f"there is no attention layer {layer[:_SHOWN]!r}",
        why=f"{len(found)} layer{'s' if len(found) > 1 else ''} {looks}",
        fix=f"give a number from 1 to {len(found)}, mean, or one of: {', '.join(record)}",
    )


def choose_heads(
    layer: LayerAttention, head: int | str
) -> list[tuple[str, Float[torch.Tensor, "query_len key_len"]]]:
    """Titles and weights of the heads asked for, of the first sentence of the batch, on the CPU.

    `head`: a number from 1, "mean", "max" (of the heads the greatest, weight by weight, so rows sum to more
    than one), or "all". Raises RecipeError if the layer has none such.
    """
    weights = layer.weights[0].float().cpu()
    count = len(weights)
    if head in ("mean", "max"):
        title = layer.layer if count == 1 else f"{layer.layer}, {head} of {count} heads"
        return [(title, weights.mean(0) if head == "mean" else weights.amax(0))]
    if head == "all":
        return [(f"{layer.layer}, head {n} of {count}", one) for n, one in enumerate(weights, start=1)]
    number = head if isinstance(head, int) else number_of(head)
    if number is not None and 1 <= number <= count:
        return [(f"{layer.layer}, head {number} of {count}", weights[number - 1])]
    shown = head[:_SHOWN] if isinstance(head, str) else max(-1, min(head, 10**_DIGITS))
    raise RecipeError(
        f"there is no head {shown!r}",
        why=f"{layer.layer} has {count} head{'s' if count > 1 else ''}",
        fix=f"give a number from 1 to {count}, mean, max or all",
    )
