"""Heat maps over images: the attention of a model that reads or classifies one, as a figure."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from atonce.decoding.batching import stacked_images
from atonce.decoding.classifier import Classifier
from atonce.decoding.image_reader import ImageReader
from atonce.errors import RecipeError
from atonce.explain.image_attention import ImageAttention, by_step, grid_of, received, steps_of
from atonce.explain.image_figure import image_figure, percent
from atonce.explain.influence import Occlusion, cell_of, image_occlusion
from atonce.explain.recording import choose_heads, choose_layer, has_attention, recorded_attention
from atonce.explain.scoring import log_probabilities
from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette
from atonce.result import HIDDEN, Table
from atonce.shapes import Float, UInt8

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False, repr=False)
class ImageHeatmap(Figure):
    """An image, the output of a model for it, and the cells that it came from.

    Shows itself in a notebook; `save` writes it as a picture, a page or data.
    """

    kind = "atonce image heat map"
    noun = "heat map"

    image: UInt8[np.ndarray, "height width"] = field(metadata=HIDDEN)
    """From 0 (paper) to 255 (ink), as the model read it."""
    source: str
    """Where it is from: the name of its file."""
    output: str
    """The text that was read, or the label."""
    probability: float
    """Of the output."""
    model: str
    """Whose attention it is, such as the name of the run."""
    attention: tuple[ImageAttention, ...]
    """One for each head shown; none where the model has no attention."""
    occlusion: Occlusion | None = None
    """Only of a label."""

    def __repr__(self) -> str:
        return f"<ImageHeatmap of {self.model}: {self.source!r} → {self.output!r}>"

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        return image_figure(
            self.image, self.model, self._answer(), self.attention, self.occlusion,
            palette,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The figure's data as plain lists, numbers and texts; of the image itself, its size.

        Weights are panels × rows × columns; a panel is a character read, or the one map of a label. Cell
        (r, c) covers the pixels from row r × cell height and column c × cell width on.
        """
        height, width = self.image.shape
        return super().to_dict() | {"image": {"height": height, "width": width}}

    def _answer(self) -> str:
        return f"{self.output} ({percent(self.probability)})"

    @property
    def title(self) -> str:
        """The title of its page."""
        return f"What {self.model} looked at"

    def facts(self) -> list[tuple[str, str]]:
        """The image's name and the output."""
        return [("image", self.source), ("output", self._answer())]

    @property
    def alt_text(self) -> str:
        """The alternative text."""
        titles = [one.title for one in self.attention]
        titles += [self.occlusion.title] if self.occlusion else []
        return f"Heat map over an image: {'; '.join(titles)}. The table has the same numbers."

    def tables(self) -> list[Table]:
        """The numbers of every cell, a table for each panel."""
        tables = [
            _table(f"{one.title}: {panel}" if panel else one.title, one.rule, weights)
            for one in self.attention
            for panel, weights in zip(one.panels, one.weights, strict=True)
        ]
        if self.occlusion is not None:
            tables.append(_table(self.occlusion.title, self.occlusion.rule, self.occlusion.falls))
        return tables

    def marks(self) -> int:
        """How many cells it has."""
        numbers = [one.weights for one in self.attention]
        numbers += [self.occlusion.falls] if self.occlusion else []
        return sum(one.size for one in numbers)


def _table(title: str, rule: str, numbers: Float[np.ndarray, "rows columns"]) -> Table:
    return Table(
        title,
        rule,
        ("row \\ column of cells", *map(str, range(1, numbers.shape[1] + 1))),
        tuple((str(row), *(f"{cell:.3f}" for cell in cells)) for row, cells in enumerate(numbers, start=1)),
    )


def reading_heatmap(
    reader: ImageReader,
    image: UInt8[np.ndarray, "height width"],
    *,
    target: str | None = None,
    layer: str | None = None,
    head: int | str = "mean",
    source: str = "image",
) -> ImageHeatmap:
    """The attention of `reader` before each character of its reading, or of the text `target`.

    `layer`: see `choose_layer`; of one of the encoder's, the attention of its cells to one another. `head`: a
    number from 1, "mean", or "all". `source`: the name of the image. Raises RunError if the model has no
    attention, RecipeError for an unknown layer or head.
    """
    tokenizer, model = reader.tokenizer, reader.model
    target = reader.read_images(image).text if target is None else target
    target = tokenizer.normalized(target)  # whose characters the spans of tokens count
    written = [*tokenizer.encode(target), tokenizer.eos]
    # One pass of teacher forcing: it gives the probabilities of the figure, too.
    with reader.evaluating(), torch.inference_mode(), recorded_attention(model) as record:
        memory = model.encode(*stacked_images([image], reader.device))
        gains = log_probabilities(model, memory, written)[0]
    chosen = choose_layer(record, layer)
    if chosen.role == "decoder-self":
        raise RecipeError(
            f"{chosen.layer} cannot be drawn over the image",
            why="it attends to the output",
            fix=f"give one of: {', '.join(one for one in record if record[one].role != 'decoder-self')}",
        )
    grid = grid_of(model.source)
    heads = choose_heads(chosen, head)
    if chosen.role == "encoder-self":
        attention = received(heads, grid)
    else:
        steps = steps_of(target, tokenizer.token_spans(target))
        attention = tuple(by_step(title, weights, gains, steps, grid) for title, weights in heads)
    return ImageHeatmap(
        image, source=source, output=target, probability=float(gains.sum().exp()), model=reader.name,
        attention=attention,
    )  # fmt: skip


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

    `target`: a label to explain instead of the most likely one. `layer`: see `choose_layer`, among those of
    the encoder. `head`: a number from 1, "mean", or "all". `source`: the name of the image. Raises
    RecipeError for an unknown layer or head, and DataError for an unknown label.
    """
    found = classifier.classify(image)
    label = found.label if target is None else target
    # Before the probability is looked up, because this refuses an unknown label.
    occlusion = image_occlusion(classifier, image, label, cell_of(grid_of(classifier.model.source)))
    return ImageHeatmap(
        image,
        source=source,
        output=label,
        probability=found.probabilities[label],
        model=classifier.name,
        attention=_attention(classifier, image, layer, head),
        occlusion=occlusion,
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
            fix="leave them out: the figure then has occlusion alone",
        )
    model = classifier.model
    with classifier.evaluating(), torch.inference_mode(), recorded_attention(model) as record:
        model.encode(*classifier.read([image]))
    # A label is one step without attention of its own: what can be shown is how cells attend to one another.
    chosen = choose_layer(record, layer, "encoder-self")
    return received(choose_heads(chosen, head), grid_of(model.source))
