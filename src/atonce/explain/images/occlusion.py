"""Occlusion: cover a part of an image and see how much less likely its label is (Zeiler and Fergus 2014).

Unlike attention, this can be asked of any model; and it says what changes the answer (section 4.2).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from atonce.decoding.classifier import Classifier
from atonce.explain.images.maps import Occlusion
from atonce.models.image import ImageEmbedding
from atonce.shapes import Float, UInt8

OCCLUSION_RULE = (
    "Occlusion: by how many nats the log-probability of the label falls when the cell is made paper. "
    "Blue cells speak for the label, orange ones against it."
)

_AT_ONCE = 128
_CELLS_ALONG = 7
"""Of the grid where the model's own is too coarse: about so many to each side of the image."""
_COARSE = 4
"""A grid with fewer rows or columns says little about where."""


def occlusion(
    classifier: Classifier, image: UInt8[np.ndarray, "height width"], label: str, cell: tuple[int, int]
) -> Occlusion:
    """How much the log-probability of `label` falls as each cell of `image` in turn is made paper.

    `cell`: height and width of the cells, in pixels; the last ones may reach beyond the image. A cell that is
    paper already changes nothing. Raises DataError if the model has no such label.
    """
    number = classifier.labels.number(label)
    falls = np.zeros([-(-side // part) for side, part in zip(image.shape, cell, strict=True)], np.float32)
    covered = _covered(image, cell)
    if covered:
        whole, *others = log_probabilities(classifier, [image, *covered.values()])[:, number].tolist()
        for place, other in zip(covered, others, strict=True):
            falls[place] = whole - other
    return Occlusion(f"{label}: occlusion", OCCLUSION_RULE, label, cell, falls)


def cell_of(embedding: ImageEmbedding) -> tuple[int, int]:
    """Height and width of what to cover: a cell of the model's own grid, if there are enough of them."""
    if min(embedding.grid) >= _COARSE:
        return embedding.cell
    height, width = (max(1, round(side / _CELLS_ALONG)) for side in embedding.shape)
    return height, width


@torch.inference_mode()
def log_probabilities(
    classifier: Classifier, images: Sequence[UInt8[np.ndarray, "height width"]]
) -> Float[Tensor, "images labels"]:
    """Of every label for every image."""
    decoder = classifier.model.decoder
    found = []
    with classifier.evaluating():
        for start in range(0, len(images), _AT_ONCE):
            memory = classifier.model.encode(*classifier.read(images[start : start + _AT_ONCE]))
            nothing = memory.mask.new_zeros(len(memory.mask), dtype=torch.long)
            logits, _ = decoder.step(nothing, decoder.start(memory))
            found.append(logits.log_softmax(-1))
    return torch.cat(found)


def _covered(
    image: UInt8[np.ndarray, "height width"], cell: tuple[int, int]
) -> dict[tuple[int, int], UInt8[np.ndarray, "height width"]]:
    """The image without the ink of each cell that has some, by row and column of the cell."""
    covered = {}
    for top in range(0, image.shape[0], cell[0]):
        for left in range(0, image.shape[1], cell[1]):
            window = slice(top, top + cell[0]), slice(left, left + cell[1])
            if image[window].any():
                without = image.copy()
                without[window] = 0
                covered[top // cell[0], left // cell[1]] = without
    return covered
