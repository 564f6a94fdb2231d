"""Attention over images: the cells a model attends to for each character, or the attention each receives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atonce.explain.words import END_OF_SENTENCE
from atonce.models.image import ImageEmbedding
from atonce.result import Result, computed
from atonce.shapes import Float

READING_RULE = "Colour: the weights with which the decoder mixed the cells of the image for each character."
RECEIVED_RULE = "Attention: the weight that each cell receives, the mean over all cells."

_SPACE = "‹space›"


@dataclass(frozen=True, eq=False)
class ImageAttention(Result):
    """The attention of one head of a layer, or a mean of heads: a map of weights for each panel."""

    title: str
    """Which layer and head, such as "decoder.attention, mean of 4 heads"."""
    rule: str
    """What the weights are, as the figure states it."""
    cell: tuple[int, int]
    """Height and width of a cell, in pixels."""
    panels: tuple[str, ...]
    """What was read at each step, in reading order; one empty text where the maps are not of steps."""
    probabilities: tuple[float, ...]
    """The probability of each of these; none where the maps are not of steps."""
    weights: Float[np.ndarray, "panels rows columns"]
    """Each map sums to one."""

    @computed
    def grid(self) -> tuple[int, ...]:
        """Rows and columns of cells."""
        return self.weights.shape[1:]


def grid_of(embedding: object) -> ImageEmbedding:
    """The embedding of a model that reads images, which has the grid. Raises TypeError for another."""
    if not isinstance(embedding, ImageEmbedding):
        raise TypeError("the model does not read images")
    return embedding


def received(
    heads: Sequence[tuple[str, Float[Tensor, "source_len source_len"]]], grid: ImageEmbedding
) -> tuple[ImageAttention, ...]:
    """The attention that each cell receives from all cells of the image, itself included."""
    # No row stands for the label alone: a classifier pools the states of all cells.
    return tuple(
        ImageAttention(
            title, RECEIVED_RULE, grid.cell, ("",), (), weights.mean(0).numpy().reshape(1, *grid.grid)
        )
        for title, weights in heads
    )


def steps_of(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, list[int]]]:
    """The characters of `text`, and the places of the tokens that write each; at last the end.

    `spans`: begin and end of each token in characters. Bytes of one character are one step. A token without
    a character (the mark of the beginning of the text) is in none.
    """
    steps: dict[tuple[int, int], list[int]] = {}
    for place, span in enumerate(spans):
        if span[0] < span[1]:
            steps.setdefault(span, []).append(place)
    # A space would be an empty title of its panel.
    written = [(text[begin:end].strip() or _SPACE, places) for (begin, end), places in steps.items()]
    return [*written, (END_OF_SENTENCE, [len(spans)])]


def by_step(
    title: str,
    weights: Float[Tensor, "target_len source_len"],
    gains: Float[Tensor, " target_len"],
    steps: Sequence[tuple[str, list[int]]],
    grid: ImageEmbedding,
) -> ImageAttention:
    """The attention of one head at each step; `gains` are the log-probabilities of the tokens."""
    # A character of several bytes is one panel: the mean of their maps, the product of their probabilities.
    maps = torch.stack([weights[places].mean(0) for _, places in steps]).numpy()
    return ImageAttention(
        title,
        READING_RULE,
        grid.cell,
        panels=tuple(written for written, _ in steps),
        probabilities=tuple(float(gains[places].sum().exp()) for _, places in steps),
        weights=maps.reshape(len(steps), *grid.grid),
    )
