"""Sources as batches: very long texts cut in parts, those of like length together; images.

A model does poorly far beyond the lengths it was trained on, so a long text is cut where it hurts least.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from atonce.data.tokenizer import PAD, Tokenizer
from atonce.layers.masks import padding_mask
from atonce.shapes import Bool, Float, Int, UInt8

_BOUNDARIES = (r"(?<=[.!?…])\s+|(?<=[。！？])", r"(?<=[,;:])\s+|(?<=[、，；：])", r"\s+", "")
"""Where to cut, from best to worst: after sentences, after clauses, between words, anywhere."""


def segments(text: str, tokenizer: Tokenizer, longest: int) -> list[str]:
    """The text in parts of at most `longest` tokens each, `eos` included; no part if it is blank.

    A text that is short enough is its only part, unchanged. Of a longer one, only space around cuts is lost.
    A single character is a part, however many tokens spell it.
    """
    if not text.strip():
        return []
    if _fits(text, tokenizer, longest):
        return [text]
    return _cut(text.strip(), tokenizer, longest)


def _fits(text: str, tokenizer: Tokenizer, longest: int) -> bool:
    return len(tokenizer.encode(text)) < longest


def _cut(text: str, tokenizer: Tokenizer, longest: int) -> list[str]:
    if len(text) == 1 or _fits(text, tokenizer, longest):
        return [text]
    # In halves, not from the left: so no part is a last word alone.
    place = _place_to_cut(text)
    halves = text[:place].rstrip(), text[place:].lstrip()
    return [part for half in halves for part in _cut(half, tokenizer, longest)]


def _place_to_cut(text: str) -> int:
    """The place nearest to the middle of those where it hurts least. No space may stand at either end."""
    for boundary in _BOUNDARIES:
        # A cut at either end would leave an empty part. Of the last pattern, any place is a boundary.
        places = [found.end() for found in re.finditer(boundary, text) if 0 < found.end() < len(text)]
        if places:
            break
    return min(places, key=lambda place: abs(2 * place - len(text)))


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of sources of like length, the longest first, rows times the longest within `batch_tokens`."""
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        # The longest comes first: no later one makes the rows longer.
        longest = longest or lengths[index]
        if batch and (len(batch) + 1) * longest > batch_tokens:
            yield batch
            batch, longest = [], lengths[index]
        batch.append(index)
    if batch:
        yield batch


def consecutive(sources: Sequence[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Sources a few at a time, in order: rows times the longest, its end included, within `most`."""
    few: list[list[int]] = []
    longest = 0
    for source in sources:
        # + 1: the end of the sentence is read as well.
        longest = max(longest, len(source) + 1)
        if few and (len(few) + 1) * longest > most:
            yield few
            few, longest = [], len(source) + 1
        few.append(source)
    if few:
        yield few


def padded(
    sequences: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "batch len"], Bool[Tensor, "batch len"]]:
    """Sequences of tokens as rows of equal length, and which positions are real."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    # On the CPU first: filled there, a GPU would be sent one row after another.
    rows = torch.full((len(sequences), int(lengths.max())), PAD)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return rows.to(device), padding_mask(lengths, rows.shape[1]).to(device)


def stacked_images(
    images: Sequence[UInt8[np.ndarray, "height width"]], device: torch.device
) -> tuple[Float[Tensor, "batch height width"], Bool[Tensor, "batch width"]]:
    """Images as a model takes them: ink is 1, and every column is real."""
    # Bytes travel to a GPU, a quarter of the floats.
    pixels = torch.from_numpy(np.stack(images)).to(device).float() / 255
    return pixels, pixels.new_ones((len(pixels), pixels.shape[2]), dtype=torch.bool)
