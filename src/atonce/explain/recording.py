"""Recording attention: the weights of every attention layer while code runs, and the choice of what to show.

Beside it the other thing that is done to attention from outside: dropping heads.
"""
# Fused attention gives no weights. So layers are observed only within a block, where they materialise them,
# and otherwise run their fastest kernel.

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.errors import RecipeError, RunError
from atonce.layers.attention import Attention, Role, dropping, observing
from atonce.shapes import Float

_SHOWN = 100
"""Characters of an argument that a message repeats."""
_DIGITS = 9
"""Digits of a number of a layer or head. Python refuses to read one of some thousand digits."""
_ATTENDS = {"cross": "attends to the source", "encoder-self": "attends from the source to itself"}


@dataclass(frozen=True)
class LayerAttention:
    """The weights of one attention layer."""

    layer: str
    """Its name in the model, such as "decoder.layers.2.cross_attention"."""
    role: Role
    weights: Float[Tensor, "batch heads query_len key_len"]
    """Each query's weights sum to one over the keys it may see and are zero elsewhere."""


class AttentionRecord(Mapping[str, LayerAttention]):
    """Weights by layer name, in the order in which the layers first ran. Filled when the block ends."""

    def __init__(self) -> None:
        self._layers: dict[str, LayerAttention] = {}

    def __getitem__(self, layer: str) -> LayerAttention:
        return self._layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def of_role(self, role: Role) -> list[LayerAttention]:
        """The layers of this role, first to last."""
        return [layer for layer in self.values() if layer.role == role]


def has_attention(model: nn.Module) -> bool:
    """Whether any layer of `model` is attention."""
    return any(isinstance(module, Attention) for module in model.modules())


@contextmanager
def recorded_attention(model: nn.Module) -> Iterator[AttentionRecord]:
    """Within the block, keep the weights of every attention layer of `model` that runs.

    A layer that runs once for each step of a decoder gets one row of weights for each. Layers that run in
    the block are slower, since they materialise their weights; nothing is left on them after it.
    Raises RunError at the end of the block if no attention ran: a record is never silently empty; and if a
    layer ran on batches of several sizes, whose rows do not belong together.
    """
    # `observing` is called for every attention layer that this thread runs, of other models, too.
    names = {module: name for name, module in model.named_modules() if isinstance(module, Attention)}
    seen: dict[Attention, list[Tensor]] = {}

    def keep(layer: Attention, weights: Float[Tensor, "batch heads query_len key_len"]) -> None:
        if layer in names:
            seen.setdefault(layer, []).append(weights.detach())  # or the record would keep the whole graph

    record = AttentionRecord()
    with observing(keep):
        yield record
    if not seen:
        raise RunError(
            "there is no attention to show",
            why="the model has no attention layer" if not names else "none of its attention layers ran",
            fix="use a decoder with attention: a transformer, or attention = additive, dot or general",
        )
    for layer, steps in seen.items():
        sizes = sorted({len(step) for step in steps})
        if len(sizes) > 1:
            raise RunError(
                f"the attention of {names[layer]} is not of one batch",
                why=f"it ran on batches of {', '.join(map(str, sizes))} sentences",
                fix="record one batch, or one sentence, at a time",
            )
        record._layers[names[layer]] = LayerAttention(names[layer], layer.role, _one_after_another(steps))


def _one_after_another(steps: list[Tensor]) -> Float[Tensor, "batch heads query_len key_len"]:
    """The rows of all steps; keys that did not exist yet at a step have weight zero."""
    # Incremental decoding has one key more at each step.
    keys = max(step.shape[-1] for step in steps)
    return torch.cat([F.pad(step, (0, keys - step.shape[-1])) for step in steps], dim=2)


def number_of(text: str) -> int | None:
    """The number of a text of digits; None for any other text, and for too many digits."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def choose_layer(record: AttentionRecord, layer: str | None, role: Role = "cross") -> LayerAttention:
    """A layer by its name in the record, by "mean", or by its number among those of `role`.

    Without a name, the last of these. Raises RecipeError if there is no such layer.
    """
    if layer is not None and layer in record:
        return record[layer]
    found = record.of_role(role)
    if not found:
        raise RecipeError(
            f"no attention layer {_ATTENDS[role]}",
            why="only the encoder has attention, not the decoder"
            if role == "cross"
            else "the encoder has no attention",
            fix=f"give one of: {', '.join(record)}",
        )
    if layer is None:  # the last is nearest to the output
        return found[-1]
    if layer == "mean":
        # Layers of one role have the same queries and keys.
        mean = torch.stack([one.weights for one in found]).mean(0)
        return LayerAttention(f"mean of {len(found)} layers", role, mean)
    if (number := number_of(layer)) is not None and 1 <= number <= len(found):
        return found[number - 1]
    attends = _ATTENDS[role].replace("attends", "attend" if len(found) > 1 else "attends")
    raise RecipeError(
        f"there is no attention layer {layer[:_SHOWN]!r}",
        why=f"{len(found)} layer{'s' if len(found) > 1 else ''} {attends}",
        fix=f"give a number from 1 to {len(found)}, mean, or one of: {', '.join(record)}",
    )


def choose_heads(
    layer: LayerAttention, head: int | str
) -> list[tuple[str, Float[torch.Tensor, "query_len key_len"]]]:
    """Titles and weights of the chosen heads, of the first sentence of the batch, on the CPU.

    `head`: a number from 1, "mean", "max" (the greatest of the heads, weight by weight, so rows sum to more
    than one), or "all". Raises RecipeError if the layer has no such head.
    """
    # In float32: numpy, which draws and merges, knows no bfloat16.
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


@contextmanager
def dropped_heads(model: nn.Module, heads: Mapping[str, Collection[int]]) -> Iterator[None]:
    """Within the block, the output of these heads of `model` is zero.

    `heads`: numbers from 0 by the layer's name, such as `{"decoder.layers.2.cross_attention": [0, 3]}`;
    attention of a recurrent or convolutional decoder has one head. It is as if the output projection had no
    weights for them (Michel 2019, section 2.3), in teacher forcing and in generation. A record that is made
    in the block has their weights all the same. Nested blocks add up. The block affects this thread alone;
    other models are as they were, and nothing is left on the layers.

    Raises RecipeError for an unknown layer or head.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Attention)}
    for name, numbers in heads.items():
        if name not in layers:
            raise RecipeError(
                f"there is no attention layer {name!r}",
                why=f"the model has {len(layers)} of them",
                fix=f"give one of: {', '.join(layers)}" if layers else "take a model with attention",
            )
        beyond = [number for number in numbers if not 0 <= number < layers[name].heads]
        if beyond:
            count = layers[name].heads
            raise RecipeError(
                f"there is no head {beyond[0]} to drop",
                why=f"{name} has {count} head{'s' if count > 1 else ''}, counted from 0",
                fix=f"give numbers from 0 to {count - 1}" if count > 1 else "give 0",
            )
    # Without a head to drop nothing may observe: observed layers leave the fast kernels.
    chosen = {layers[name]: frozenset(numbers) for name, numbers in heads.items() if numbers}
    if not chosen:
        yield
        return
    with dropping(chosen):
        yield
