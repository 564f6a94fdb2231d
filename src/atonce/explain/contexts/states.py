"""What an encoder has of each position, from the embedding through every layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atonce.decoding.predictor import padded
from atonce.decoding.search import batches_by_length
from atonce.explain.contexts.uses import Use
from atonce.models.seq2seq import Seq2Seq
from atonce.shapes import Bool, Float, Int

_POSITIONS_AT_ONCE = 8_192


def layer_names(model: Seq2Seq) -> list[str]:
    """The embedding, and the layers of the encoder from 1."""
    return ["embedding", *(f"layer {number}" for number in range(1, len(model.encoder.layers) + 1))]


@torch.inference_mode()
def word_vectors(
    model: Seq2Seq, uses: Sequence[Use], sentences: Sequence[Sequence[int]] | None = None
) -> dict[str, Float[np.ndarray, "uses dim"]]:
    """For each layer by name, the vector of the word in each use: the mean over its pieces.

    `sentences`: other pieces than those of the uses, as many, with the word at the same place. Whatever they
    are, a use is read in a batch of the same shape, so that equal inputs give equal vectors to the last bit.
    """
    read = [use.ids for use in uses] if sentences is None else sentences
    device = next(model.parameters()).device
    found: dict[str, list[np.ndarray]] = {name: [np.empty(0)] * len(uses) for name in layer_names(model)}
    was_training = model.training
    model.eval()
    try:
        for indices in batches_by_length([len(ids) for ids in read], _POSITIONS_AT_ONCE):
            source, mask = padded([read[index] for index in indices], device)
            for name, states in zip(found, layer_states(model, source, mask), strict=True):
                for row, index in enumerate(indices):
                    use = uses[index]
                    found[name][index] = states[row, use.first : use.last].mean(0).cpu().numpy()
    finally:
        model.train(was_training)
    return {name: np.stack(vectors) for name, vectors in found.items()}


def layer_states(
    model: Seq2Seq, source: Int[Tensor, "batch source_len"], mask: Bool[Tensor, "batch source_len"]
) -> list[Float[Tensor, "batch source_len dim"]]:
    """The states of all positions: those that the encoder is given, and those after each of its layers."""
    embedded, real = model.source.read(source, mask)
    with _kept(model.encoder.layers) as kept:
        model.encoder(embedded, real)
    return [embedded, *kept]


@contextmanager
def _kept(layers: nn.ModuleList) -> Iterator[list[Tensor]]:
    """Within the block, what each layer gives is put into the list, in the order in which they run."""
    kept: list[Tensor] = []

    def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
