"""Batches of like length under a token budget, in an order that depends on nothing but seed and epoch."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atonce.data.images import ImageExamples
from atonce.data.pairs import Examples
from atonce.data.tokenizer import BOS, PAD
from atonce.shapes import Bool, Float, Int, Shaped

RELEASE_EVERY = 50
"""Batches after which the pages read are dropped."""


@dataclass(frozen=True)
class Batch:
    """What a model is trained on in one step. Masks: True is real, False is padding."""

    source: Int[Tensor, "batch source_len"] | Float[Tensor, "batch height width"]
    """Tokens, or grey images from 0 (paper) to 1 (ink)."""
    source_mask: Bool[Tensor, "batch real"]
    """Of tokens, or of columns of pixels."""
    target_in: Int[Tensor, "batch target_len"]
    """`bos`, then the target without its `eos`: what the decoder is given."""
    target_out: Int[Tensor, "batch target_len"]
    """The target with its `eos`: what the decoder is to say, at the same positions."""
    target_mask: Bool[Tensor, "batch target_len"]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        tensors = self.tensors().items()
        moved = Batch(**{name: tensor.to(device, non_blocking=True) for name, tensor in tensors})
        # Counted here once: to count on a GPU is to wait for it.
        # It is frozen, but a cached_property looks into the dict first.
        moved.__dict__.update(target_tokens=self.target_tokens, padding_share=self.padding_share)
        return moved

    def tensors(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def target_tokens(self) -> int:
        """Real target positions, `eos` included."""
        return int(self.target_mask.sum())

    @cached_property
    def padding_share(self) -> float:
        """The part of all source and target positions that is padding, from 0 to 1."""
        positions = self.source_mask.numel() + self.target_mask.numel()
        return 1 - (int(self.source_mask.sum()) + self.target_tokens) / positions


def plan_batches(
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
    *,
    batch_tokens: int,
    seed: int,
    epoch: int,
) -> list[Int[np.ndarray, " batch"]]:
    """The batches of one epoch, each an array of indices of examples; together, every example once.

    Rows times the longest side stay within `batch_tokens`; an example longer than that is a batch alone.
    A pure function of its arguments.
    """
    # Of these two alone: a resumed training needs no state of a generator, only its place in the plan.
    draw = np.random.default_rng([seed, epoch])
    order = _by_length(source_lengths, target_lengths, draw)
    longest = np.maximum(source_lengths, target_lengths)[order]  # ascending
    batches = []
    start = 0
    while start < len(order):
        ahead = longest[start : start + batch_tokens]  # more rows cannot fit: each has a token at least
        # Ascending, so the last row is the longest: these are the sizes, padded, of one row, two rows, …
        size = ahead * np.arange(1, len(ahead) + 1)
        rows = max(int(np.searchsorted(size, batch_tokens, side="right")), 1)
        batches.append(order[start : start + rows])
        start += rows
    # Whole batches are shuffled: rows keep to others of their length, and no epoch goes from short to long.
    return [batches[index] for index in draw.permutation(len(batches))]


def _by_length(
    source_lengths: Int[np.ndarray, " pairs"],
    target_lengths: Int[np.ndarray, " pairs"],
    draw: np.random.Generator,
) -> Int[np.ndarray, " pairs"]:
    """Examples from short to long by their longer side; those of equal lengths in random order.

    Among those with an equally long longer side, by how much longer the source is than the target, up
    where that length is even and down where it is odd: so neighbours are alike on both sides, also from
    one length to the next. Numbers have 4 bytes where that is enough: 10 million are half the memory.
    """
    pairs = len(source_lengths)
    shuffled = draw.permutation(np.arange(pairs, dtype=np.int32 if pairs < 2**31 else np.int64))
    key = _likeness(source_lengths, target_lengths)[shuffled]
    # stable: what has the same key stays in the random order that it was put in.
    return shuffled[np.argsort(key, kind="stable")]


def _likeness(
    source_lengths: Int[np.ndarray, " pairs"], target_lengths: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " pairs"]:
    """One number for the longer side and then the difference: to sort by two would take twice the memory."""
    longest = np.maximum(source_lengths, target_lengths)
    most = int(longest.max(initial=0))
    longest = longest.astype(np.int32 if most < 2**15 else np.int64)  # it is squared
    difference = source_lengths - target_lengths.astype(longest.dtype)
    np.negative(difference, out=difference, where=longest % 2 == 1)
    longest *= 2 * most + 1  # |difference| < longest
    longest += difference
    return longest


def collate(examples: Examples | ImageExamples, indices: Int[np.ndarray, " batch"]) -> Batch:
    """Pad the examples at `indices` to a batch."""
    if isinstance(examples, ImageExamples):
        targets = examples.targets
        # By a float32, or numpy would make float64 of the bytes.
        source = examples.pixels[indices] / np.float32(255)
        source_mask = np.ones((len(indices), source.shape[2]), dtype=bool)
    else:
        targets = examples
        source, source_mask = targets.padded(2 * indices.astype(np.int64), PAD)
    target, target_mask = targets.padded(2 * indices.astype(np.int64) + 1, PAD)
    target_in = np.full_like(target, BOS)
    target_in[:, 1:] = np.where(target_mask[:, 1:], target[:, :-1], PAD)
    arrays = (source, source_mask, target_in, target, target_mask)
    return Batch(*(torch.from_numpy(values) for values in arrays))


class DataPosition(NamedTuple):
    """How far a training has read."""

    epoch: int = 0
    batch: int = 0
    """Batches of the epoch that were read."""


def batches_from(
    start: DataPosition, examples: Examples | ImageExamples, *, batch_tokens: int, seed: int
) -> Iterator[tuple[Batch, DataPosition]]:
    """Batches without end, each with the position after it. The same start gives the same batches."""
    # Going on in the middle of an epoch, the plan is made again and its beginning passed over.
    epoch, first = start
    while True:
        plan = plan_batches(
            examples.source_lengths,
            examples.target_lengths,
            batch_tokens=batch_tokens,
            seed=seed,
            epoch=epoch,
        )
        for number, indices in enumerate(plan[first:], start=first + 1):
            if number % RELEASE_EVERY == 1:  # at once, too: the plan has read all lengths
                examples.release()
            yield collate(examples, indices), DataPosition(epoch, number)
        epoch, first = epoch + 1, 0
