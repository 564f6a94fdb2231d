"""Numbers for the cells of a grid that is laid over an image."""

from dataclasses import dataclass

import numpy as np

from atonce.result import Result, computed
from atonce.shapes import Float


@dataclass(frozen=True, eq=False)
class ImageAttention(Result):
    """What one head of a layer, or a mean of heads, looked at: a map of weights for each panel."""

    title: str
    """Which layer and head, such as "decoder.attention, mean of 4 heads"."""
    rule: str
    """What the weights are, as the figure states it."""
    cell: tuple[int, int]
    """Height and width of a cell, in pixels."""
    panels: tuple[str, ...]
    """What was read at each step, in reading order; one empty text where the maps are not of steps."""
    probabilities: tuple[float, ...]
    """What the model gave to each of these; none where the maps are not of steps."""
    weights: Float[np.ndarray, "panels rows columns"]
    """Each map sums to one."""

    @computed
    def grid(self) -> tuple[int, ...]:
        """Rows and columns of cells."""
        return self.weights.shape[1:]


@dataclass(frozen=True, eq=False)
class Occlusion(Result):
    """How much less likely a label is when a cell of the image is covered."""

    title: str
    rule: str
    """What the numbers are, as the figure states it."""
    label: str
    cell: tuple[int, int]
    """Height and width of a cell, in pixels."""
    falls: Float[np.ndarray, "rows columns"]
    """By how many nats the label's log-probability falls; below zero where it rises."""

    @computed
    def grid(self) -> tuple[int, ...]:
        """Rows and columns of cells."""
        return self.falls.shape
