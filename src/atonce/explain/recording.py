"""The attention record: what every attention layer looked at while code ran, and what to show of it.

Beside it the other thing that one does to attention from outside: dropped heads.
"""

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
"""Characters of what was given that a message repeats."""
_DIGITS = 9
"""Of a number that could be of a layer or head. Python reads none of some thousand digits."""
_LOOKS_AT_SOURCE = {"cross": "looks at the source", "encoder-self": "looks from the source at itself"}


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
        """The layers that look from one side at one side, first to last."""
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
    # `observing` hears of every attention layer that this thread runs, of other models, too.
    names = {module: name for name, module in model.named_modules() if isinstance(module, Attention)}
    seen: dict[Attention, list[Tensor]] = {}

    def keep(layer: Attention, weights: Tensor) -> None:
        if layer in names:
            seen.setdefault(layer, []).append(weights.detach())

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
    """The rows of all steps; keys that did not exist yet at a step were not looked at."""
    # Stepwise generation has one key more at each step.
    keys = max(step.shape[-1] for step in steps)
    return torch.cat([F.pad(step, (0, keys - step.shape[-1])) for step in steps], dim=2)


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
        # Layers of one role have the same queries and keys.
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
    """Within the block, these heads of `model` mix nothing: what they give is zero.

    `heads`: numbers from 0 by the layer's name, such as `{"decoder.layers.2.cross_attention": [0, 3]}`;
    attention of a recurrent or convolutional decoder has one head. It is as if the output projection had no
    weights for them (Michel 2019, section 2.3), in teacher forcing and in generation. A record that is made
    in the block has their weights all the same. Blocks within one another add up. The block is of this
    thread; other models are as they were, and nothing is left on the layers.

    Raises RecipeError for a layer or a head that the model has not.
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
    # Without a head to drop nothing may watch: watched layers leave the fast kernels.
    chosen = {layers[name]: frozenset(numbers) for name, numbers in heads.items() if numbers}
    if not chosen:
        yield
        return
    with dropping(chosen):
        yield
