"""The chart of heat maps over images, in Vega-Lite: colour on the paper, and the image's ink over it."""

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from atonce.errors import RunError, not_installed
from atonce.explain.image_attention import ImageAttention
from atonce.explain.influence import Occlusion
from atonce.figures.labels import shortened
from atonce.figures.style import Palette, headed, panel_title, styled
from atonce.shapes import Float, UInt8

if TYPE_CHECKING:
    import altair

CAUTION = "Attention says what was mixed in, not why the model decided as it did: it is no explanation."
"""What figures say of attention over images (Jain and Wallace 2019; Wiegreffe and Pinter 2019)."""

_WIDEST = 880
"""Pixels of a line of panels."""
_GAP = 18
_WASHES = 5
"""Colours of the ramp that ink can still be read on; the darker ones are left out."""
_FAINT_INK = 0.3
"""Opacity of the ink where the image itself stands beside: colours are to be seen on it too."""
_ENLARGED = 16
"""Pixels of the ink's picture for one of the image: browsers smooth what they enlarge, at edges alone."""
_MOST_PIXELS = 4_000_000
"""Of that picture; an image of more is not enlarged."""
_LEAST_FALL = 0.05
"""In nats: the scale of an occlusion reaches at least so far, or nothing at all would look like much."""


def image_figure(
    image: UInt8[np.ndarray, "height width"], model: str, answer: str, attention: Sequence[ImageAttention],
    occlusion: Occlusion | None, palette: Palette,
) -> "altair.TopLevelMixin":  # fmt: skip
    """Panels of the image with its attention, as an Altair chart headed by the name of the `model`.

    One for each step of a reading, downwards or line by line; of a label, the image with the `answer`,
    attention and occlusion, side by side.
    """
    # Only the maps of steps have probabilities: that of the encoder's attention is one for the whole image.
    steps = bool(attention and attention[0].probabilities)
    drawn = (
        _steps(image, attention, palette) if steps else _label(image, answer, attention, occlusion, palette)
    )
    layers = dict.fromkeys(one.title if steps else _layer(one) for one in attention)
    rules = dict.fromkeys([*(one.rule for one in attention), *([occlusion.rule] if occlusion else [])])
    lines = [f"read: {answer}"] if steps else []
    lines += layers if len(layers) == 1 else []
    lines += [*rules, *([CAUTION] if attention else [])]
    return styled(
        drawn.properties(
            title=headed(model, lines, 520),
            description=f"Attention of {shortened(model)} over an image: {shortened(answer)}",
        ),
        palette,
    )


def percent(probability: float) -> str:
    """A probability as the figure writes it, never rounded to nothing or to certainty."""
    if 0 < probability < 0.001:
        return "< 0.1%"
    return "> 99.9%" if 0.999 < probability < 1 else f"{probability:.1%}"


def _steps(
    image: UInt8[np.ndarray, "height width"], attention: Sequence[ImageAttention], palette: Palette
) -> Any:
    """A panel for each step; of several heads, a block for each."""
    import altair as alt

    size = _size(image, narrow=len(attention) > 1)
    most = max(float(one.weights.max()) for one in attention)  # one scale, so that panels can be compared
    blocks = []
    for one in attention:
        panels = [
            _panel(image, _cells(weights, one.cell, image.shape, size), _washed(most, palette), size, palette)
            .properties(title=panel_title(text, size[0], end=f" ({percent(probability)})"))
            for text, probability, weights in zip(one.panels, one.probabilities, one.weights, strict=True)
        ]  # fmt: skip
        block: Any = alt.concat(*panels, columns=_per_line(size), spacing=_GAP)
        blocks.append(
            block if len(attention) == 1 else block.properties(title=panel_title(one.title, size[0]))
        )
    return blocks[0] if len(blocks) == 1 else alt.vconcat(*blocks, spacing=30)


def _label(
    image: UInt8[np.ndarray, "height width"], answer: str, attention: Sequence[ImageAttention],
    occlusion: Occlusion | None, palette: Palette,
) -> Any:  # fmt: skip
    """The image with its label, the attention of each head, and occlusion."""
    import altair as alt

    size = _size(image, narrow=True)
    panels = [_ink(image, size, palette).properties(title=panel_title(answer, size[0]))]
    most = max((float(one.weights.max()) for one in attention), default=0.0)
    for number, one in enumerate(attention):
        cells = _cells(one.weights[0], one.cell, image.shape, size)
        colour = _washed(most, palette, explained=number == 0)
        title = one.title.removeprefix(_layer(one)).removeprefix(", ")
        panels.append(
            _panel(image, cells, colour, size, palette, ink=_FAINT_INK).properties(
                title=panel_title(f"attention, {title}" if title else "attention", size[0])
            )
        )
    if occlusion is not None:
        cells = _cells(occlusion.falls, occlusion.cell, image.shape, size)
        colour = _for_and_against(occlusion.falls, palette)
        panel = _panel(image, cells, colour, size, palette, ink=_FAINT_INK)
        panels.append(panel.properties(title=panel_title(occlusion.title, size[0])))
    return alt.concat(*panels, columns=_per_line(size), spacing=_GAP + 12).resolve_scale(color="independent")


def _panel(
    image: UInt8[np.ndarray, "height width"], cells: list[dict[str, Any]], colour: Any,
    size: tuple[int, int], palette: Palette, *, ink: float = 1.0,
) -> Any:  # fmt: skip
    """Coloured cells under the image's ink, which is as opaque as `ink` says."""
    import altair as alt

    width, height = size
    laid = (
        alt.Chart(alt.InlineData(values=cells))
        .mark_rect(stroke=palette.background, strokeWidth=0.5)
        .encode(
            # Pixels of the panel as they are: a domain made "nice" would shift the cells against the ink.
            x=alt.X("left:Q", scale=alt.Scale(domain=[0, width], nice=False), axis=None),
            x2="right:Q",
            y=alt.Y("top:Q", scale=alt.Scale(domain=[height, 0], nice=False), axis=None),
            y2="bottom:Q",
            color=colour,
            tooltip=[
                alt.Tooltip("row:Q"),
                alt.Tooltip("column:Q"),
                alt.Tooltip("number:Q", format=".3f"),
            ],
        )
    )
    return alt.layer(laid, _ink(image, size, palette, opacity=ink))


def _ink(
    image: UInt8[np.ndarray, "height width"], size: tuple[int, int], palette: Palette, *, opacity: float = 1.0
) -> Any:
    import altair as alt

    width, height = size
    return (
        alt.Chart(alt.InlineData(values=[{}]))
        .mark_image(
            url=ink_url(image, palette.ink), width=width, height=height, align="left", baseline="top",
            aspect=False, opacity=opacity, tooltip=False,
        )
        .encode(x=alt.value(0), y=alt.value(0))
        .properties(width=width, height=height)
    )  # fmt: skip


def _cells(
    numbers: Float[np.ndarray, "rows columns"], cell: tuple[int, int], shape: tuple[int, ...],
    size: tuple[int, int],
) -> list[dict[str, Any]]:  # fmt: skip
    """Where each cell is in a panel, cut off where it reaches beyond the image; rows count from 1."""
    across, down = size[0] / shape[1], size[1] / shape[0]
    return [
        {
            "row": row + 1,
            "column": column + 1,
            "left": column * cell[1] * across,
            "right": min((column + 1) * cell[1], shape[1]) * across,
            "top": row * cell[0] * down,
            "bottom": min((row + 1) * cell[0], shape[0]) * down,
            "number": round(float(number), 5),
        }
        for (row, column), number in np.ndenumerate(numbers)
    ]


def _washed(most: float, palette: Palette, *, explained: bool = True) -> Any:
    """Colours from weight 0 to the greatest one, so light that ink can be read on them."""
    import altair as alt

    return alt.Color(
        "number:Q",
        scale=alt.Scale(domain=[0, most], range=list(palette.ramp[:_WASHES]), clamp=True),
        legend=alt.Legend(title="attention weight", format=".2~g", values=[0, most / 2, most])
        if explained
        else None,
    )


def _for_and_against(falls: Float[np.ndarray, "rows columns"], palette: Palette) -> Any:
    """Colours from what speaks against the label to what speaks for it, zero in the middle."""
    import altair as alt

    most = max(float(np.abs(falls).max()), _LEAST_FALL)
    # Zero is the lightest blue: both sides go out from it in as many steps.
    colours = [*reversed(palette.against[1:]), *palette.ramp[:_WASHES]]
    return alt.Color(
        "number:Q",
        scale=alt.Scale(domain=[-most, most], range=colours, interpolate="rgb", clamp=True),
        legend=alt.Legend(title=["fall of", "log-probability"], format=".2~g", values=[-most, 0, most]),
    )


def _size(image: UInt8[np.ndarray, "height width"], *, narrow: bool) -> tuple[int, int]:
    """Width and height of a panel: a whole number of pixels for one of the image."""
    height, width = image.shape
    room = 300 if narrow and width > 2 * height else 180 if narrow else 520 if width > 2 * height else 240
    # Whole pixels: otherwise some columns of the image would be wider than others.
    enlarged = max(1, room // width)
    return width * enlarged, height * enlarged


def _per_line(size: tuple[int, int]) -> int:
    return max(1, _WIDEST // (size[0] + _GAP))


def _layer(one: ImageAttention) -> str:
    """The layer's name, of a title that says the head too."""
    return one.title.partition(", ")[0]


def ink_url(image: UInt8[np.ndarray, "height width"], colour: str) -> str:
    """A data: URL of a PNG in one `colour` (#rrggbb), as opaque as the image, from 0 (paper) to 255 (ink).

    Raises RunError if pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        why = "pictures are written by pillow, which is not installed"
        raise not_installed("cannot draw the image", why, "vision", kind=RunError) from None
    # The grey values as opacity: what is paper stays clear, and the colours below can be seen.
    ink = Image.new("RGB", image.shape[::-1], colour)
    ink.putalpha(Image.fromarray(image))
    file = io.BytesIO()
    enlarged = min(_ENLARGED, max(1, math.isqrt(_MOST_PIXELS // max(1, image.size))))
    # NEAREST: pixels of the model's input are to be seen as such, and not blurred.
    large = ink.resize([enlarged * side for side in ink.size], Image.Resampling.NEAREST)
    large.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
