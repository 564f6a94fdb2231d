"""What a model looks at in an image to find its label, and what of it matters."""

import numpy as np
import torch

from atonce.decoding.classifier import Classifier
from atonce.errors import RecipeError
from atonce.explain.choice import choose_heads, choose_layer
from atonce.explain.images.heatmap import ImageHeatmap
from atonce.explain.images.maps import ImageAttention
from atonce.explain.images.occlusion import cell_of, log_probabilities, occlusion
from atonce.explain.images.reading import grid_of, received
from atonce.explain.record import has_attention, recorded_attention
from atonce.shapes import UInt8


def classification_heatmap(
    classifier: Classifier,
    image: UInt8[np.ndarray, "height width"],
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    source: str = "image",
) -> ImageHeatmap:
    """The attention that each cell receives, if there is any, and the occlusion of each cell.

    `target`: a label to ask about instead of the likeliest. `layer`: see `choose_layer`, among those of the
    encoder. `head`: a number from 1, "mean", or "all". `source`: what to call the image. Raises RecipeError
    for a layer or head that the model has not, and DataError for a label that it has not.
    """
    found = log_probabilities(classifier, [image])[0]
    number = int(found.argmax()) if target is None else classifier.labels.number(target)
    label = classifier.labels.names[number]
    return ImageHeatmap(
        image,
        source=source,
        output=label,
        probability=float(found[number].exp()),
        model=classifier.name,
        attention=_attention(classifier, image, layer, head),
        occlusion=occlusion(classifier, image, label, cell_of(grid_of(classifier.model.source))),
    )


def _attention(
    classifier: Classifier, image: UInt8[np.ndarray, "height width"], layer: str | None, head: int | str
) -> tuple[ImageAttention, ...]:
    if not has_attention(classifier.model):
        if layer is None and head == "mean":
            return ()
        raise RecipeError(
            "there is no layer or head to choose",
            why=f"{classifier.name} has no attention",
            fix="leave them out: what matters is then shown by occlusion alone",
        )
    model = classifier.model
    with classifier.evaluating(), torch.inference_mode(), recorded_attention(model) as record:
        model.encode(*classifier.read([image]))
    chosen = choose_layer(record, layer, "encoder-self")
    return received(choose_heads(chosen, head), grid_of(model.source))
