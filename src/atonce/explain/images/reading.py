"""What a model looks at while it reads the text in an image, character by character."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from atonce.decoding.image_reader import ImageReader, as_source
from atonce.errors import RecipeError
from atonce.explain.choice import choose_heads, choose_layer
from atonce.explain.images.heatmap import ImageHeatmap
from atonce.explain.images.maps import ImageAttention
from atonce.explain.record import recorded_attention
from atonce.explain.texts.words import END_OF_SENTENCE
from atonce.models.image import ImageEmbedding
from atonce.shapes import Float, UInt8

READING_RULE = "Colour: the weights with which the decoder mixed the cells of the image for each character."
RECEIVED_RULE = "Attention: the weight that each cell receives, the mean over all cells that look."

_SPACE = "‹space›"


def reading_heatmap(
    reader: ImageReader,
    image: UInt8[np.ndarray, "height width"],
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    source: str = "image",
) -> ImageHeatmap:
    """What `reader` looks at before each character of its reading, or of the text `target`.

    `layer`: see `choose_layer`; one of the encoder's shows what its cells look at among themselves. `head`: a
    number from 1, "mean", or "all". `source`: what to call the image. Raises RunError if the model has no
    attention, RecipeError for a layer or head that it has not.
    """
    if target is None:
        target = reader.read_images([image])[0].text
    tokenizer = reader.tokenizer
    target = tokenizer.normalized(target)
    ids = [*tokenizer.encode(target), tokenizer.eos]
    target_in = torch.tensor([[tokenizer.bos, *ids[:-1]]], device=reader.device)
    with reader.evaluating(), torch.inference_mode(), recorded_attention(reader.model) as record:
        features = reader.model(*as_source([image], reader.device), target_in)
        log_probabilities = reader.model.decoder.logits(features)[0].log_softmax(-1)
    gains = log_probabilities.gather(1, torch.tensor(ids, device=reader.device)[:, None])[:, 0]
    chosen = choose_layer(record, layer)
    if chosen.role == "decoder-self":
        raise RecipeError(
            f"{chosen.layer} cannot be laid over the image",
            why="it looks at the text that was written",
            fix=f"give one of: {', '.join(one for one in record if record[one].role != 'decoder-self')}",
        )
    grid = grid_of(reader.model.source)
    heads = choose_heads(chosen, head)
    if chosen.role == "encoder-self":
        attention = received(heads, grid)
    else:
        steps = steps_of(target, tokenizer.piece_spans(target))
        attention = tuple(_by_step(title, weights, gains, steps, grid) for title, weights in heads)
    return ImageHeatmap(
        image, source=source, output=target, probability=float(gains.sum().exp()), model=reader.name,
        attention=attention,
    )  # fmt: skip


def grid_of(embedding: object) -> ImageEmbedding:
    """The embedding of a model that reads images, which knows the grid. Raises TypeError for another."""
    if not isinstance(embedding, ImageEmbedding):
        raise TypeError("the model does not read images")
    return embedding


def received(
    heads: Sequence[tuple[str, Float[Tensor, "source_len source_len"]]], grid: ImageEmbedding
) -> tuple[ImageAttention, ...]:
    """The attention that each cell receives from all cells of the image, itself included."""
    return tuple(
        ImageAttention(
            title, RECEIVED_RULE, grid.cell, ("",), (), weights.mean(0).numpy().reshape(1, *grid.grid)
        )
        for title, weights in heads
    )


def steps_of(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, list[int]]]:
    """What the pieces of `text` write, and the places of the pieces that write it; at last the end.

    `spans`: from which character to before which each piece reaches. Bytes of one character are one step. A
    piece that writes nothing (what stands for the beginning of the text) is in none.
    """
    steps: dict[tuple[int, int], list[int]] = {}
    for place, span in enumerate(spans):
        if span[0] < span[1]:
            steps.setdefault(span, []).append(place)
    written = [(text[begin:end].strip() or _SPACE, places) for (begin, end), places in steps.items()]
    return [*written, (END_OF_SENTENCE, [len(spans)])]


def _by_step(
    title: str,
    weights: Float[Tensor, "target_len source_len"],
    gains: Float[Tensor, " target_len"],
    steps: Sequence[tuple[str, list[int]]],
    grid: ImageEmbedding,
) -> ImageAttention:
    maps = torch.stack([weights[places].mean(0) for _, places in steps]).numpy()
    return ImageAttention(
        title,
        READING_RULE,
        grid.cell,
        panels=tuple(written for written, _ in steps),
        probabilities=tuple(float(gains[places].sum().exp()) for _, places in steps),
        weights=maps.reshape(len(steps), *grid.grid),
    )
