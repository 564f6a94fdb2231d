"""The attention record: what every attention layer looked at while a block of code ran."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.errors import RunError
from atonce.layers.attention import Attention, Role, observing
from atonce.shapes import Float


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
    the block are slower, since they compute their weights in the open; nothing is left on them after it.
    Raises RunError at the end of the block if no attention ran: a record is never silently empty; and if a
    layer ran on batches of several sizes, whose rows do not belong together.
    """
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
    keys = max(step.shape[-1] for step in steps)
    return torch.cat([F.pad(step, (0, keys - step.shape[-1])) for step in steps], dim=2)
