"""`atonce.heatmap`: the attention of any model as a figure, whatever it reads and writes."""

from pathlib import Path

import numpy as np

from atonce.data.image_files import read_image
from atonce.data.images import ImageShape
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.decoding.load import load
from atonce.decoding.translator import Translator
from atonce.errors import DataError, RecipeError, RunError
from atonce.explain.image_heatmap import ImageHeatmap, classification_heatmap, reading_heatmap
from atonce.explain.text_heatmap import End, Heatmap, translation_heatmap
from atonce.shapes import UInt8


def heatmap(
    model: Translator | ImageReader | Classifier | str | Path,
    source: str | Path | np.ndarray,
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    words: bool = True,
    end: End = "shown",
) -> Heatmap | ImageHeatmap:
    """A heat map of the attention of `model` over `source`.

    `model`: what `atonce.load` gave, or a run folder. `source`: a text; for a model that reads images, a
    path, or a uint8 array (height, width) from 0 (paper) to 255 (ink). `target`: a text or label to force
    instead of the model's own. `layer`: its name, its number among the cross-attention layers, or "mean";
    by default the last. `head`: a number from 1, "mean", "max", or "all". `words`: merge tokens of texts to
    words. `end`: of texts, whether the column of the end of the sentence is "shown", "hidden", or left out
    and the rest "renormalised".

    It shows itself in a notebook; `.save(path)` writes it to a file. Of an image that is read, there is a
    panel for each character; of one that is classified, the attention that each part receives, where there is
    any, and how much less likely the label is without that part.

    Raises RunError if the model has no attention, or classifies texts; RecipeError for an unknown layer or
    head, or for tokens of an image; DataError if the image cannot be read, or for an unknown label.
    """
    system = load(model) if isinstance(model, str | Path) else model
    if isinstance(system, Translator):
        if not isinstance(source, str):
            raise DataError(
                "the source is not a text", why=f"{system.name} reads texts", fix="give a text, as a string"
            )
        return translation_heatmap(
            system, source, target=target, layer=layer, head=head, words=words, end=end
        )
    shape = system.shape if isinstance(system, ImageReader) else system.io_spec.source
    if not isinstance(shape, ImageShape):
        raise RunError(
            f"there is no heat map of {system.name}",
            why="it classifies texts: no decoder attends to the words",
            fix="see how context changes a word instead: atonce context RUN --word WORD",
        )
    # Refused and not ignored: the figure would not be what was asked for.
    if not words:
        raise RecipeError(
            "an image has no tokens",
            why=f"{system.name} reads images",
            fix="leave --tokens (words=False) out",
        )
    image, name = _image(source, shape)
    if isinstance(system, ImageReader):
        return reading_heatmap(system, image, target=target, layer=layer, head=head, source=name)
    return classification_heatmap(system, image, target=target, layer=layer, head=head, source=name)


def _image(
    source: str | Path | np.ndarray, shape: ImageShape
) -> tuple[UInt8[np.ndarray, "height width"], str]:
    """The pixels, and what to call them."""
    if not isinstance(source, np.ndarray):
        return read_image(Path(source), shape), Path(source).name
    # An array is taken as it is; only a file is fitted into the shape, and inverted where its paper is dark.
    if source.dtype != np.uint8 or source.shape != tuple(shape):
        raise DataError(
            "the array is not an image that the model can read",
            why=f"it has {source.dtype} numbers of shape {source.shape}",
            fix=f"give uint8 numbers of shape {tuple(shape)}, from 0 (paper) to 255 (ink), or a picture file",
        )
    return source, "image"
