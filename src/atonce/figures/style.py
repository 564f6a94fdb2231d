"""The style of all figures: colours, in light and dark, fonts and titles."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from atonce.figures import fonts
from atonce.figures.labels import LONGEST, Pixels, label, wrapped


@dataclass(frozen=True)
class Palette:
    """Colours of a figure. The ramp runs from weight 0 to weight 1 in equal steps of lightness."""

    background: str
    ink: str
    """Titles and words."""
    faint: str
    """Frames, and text of less weight."""
    ramp: tuple[str, ...]
    against: tuple[str, ...]
    """Colours of numbers below zero, from nearly zero outward, as light as those of the ramp."""
    number_on_low: str
    """Numbers on cells of a low weight."""
    number_on_high: str
    """Numbers on cells of a high weight."""
    numbers_change_at: float
    """The weight at which both have the same contrast with the cell."""


# One hue in steps of equal CIELAB lightness: equal differences of weight look equally far apart, also to
# readers who tell few colours apart and in a grey print. Zero is nearly the page: an empty cell looks empty.
LIGHT = Palette(
    background="#ffffff",
    ink="#1b1f24",
    faint="#6a737d",
    ramp=("#f5f8fb", "#c5def8", "#98c4f3", "#6da9e8", "#488ed7", "#2a73c0", "#1559a3", "#0b4182", "#042a61"),
    against=("#fbf6f1", "#f7d7bb", "#f2b588", "#e69457", "#cf742f"),
    number_on_low="#1b1f24",
    number_on_high="#ffffff",
    numbers_change_at=0.57,
)
DARK = Palette(
    background="#14171c",
    ink="#e8ebef",
    faint="#97a1ad",
    ramp=("#23262e", "#2f3c53", "#395478", "#456e9b", "#5889b9", "#74a4d1", "#98bfe2", "#c2daef", "#eff4f9"),
    against=("#2a2522", "#503925", "#7a4f28", "#a5682c", "#cf8136"),
    number_on_low="#e8ebef",
    number_on_high="#14171c",
    numbers_change_at=0.46,
)


def headed(model: str, lines: Iterable[str], width: int) -> Any:
    """The title of a figure: the name of the model, and what is said of it, in lines of `width` pixels."""
    import altair as alt

    per_line = max(90, int(width / 5.5))  # a letter of 11 pixels is about 5.5 wide
    subtitle = [line for text in lines for line in wrapped(text, per_line)]
    return alt.Title(wrapped(model, per_line), subtitle=subtitle)


def panel_title(title: str, room_px: Pixels, *, end: str = "", offset: int = 6) -> Any:
    """The title of a panel: as much of `title` as has room above it, and all of `end`."""
    import altair as alt

    # No narrower than a label: above a small map there is room beside it, too.
    return alt.Title(label(title, max(LONGEST, room_px), 12) + end, fontSize=12, frame="group", offset=offset)


def styled(chart: Any, palette: Palette) -> Any:
    """The chart in the colours and fonts of all figures."""
    return (
        chart.configure(background=palette.background, font=fonts.LATIN, padding=12)
        .configure_view(stroke=palette.faint, strokeWidth=0.5, strokeOpacity=0.6)
        .configure_axis(
            domain=False,
            ticks=False,
            labelPadding=5,
            labelColor=palette.ink,
            labelLimit=0,  # labels are shortened before (`labels`)
            labelOverlap=False,
            titleColor=palette.faint,
            titleFontWeight="normal",
            titleFontSize=11,
            titlePadding=8,
        )
        .configure_title(
            anchor="start",
            frame="bounds",
            color=palette.ink,
            fontSize=14,
            fontWeight="bold",
            subtitleColor=palette.faint,
            subtitleFontSize=11,
            subtitlePadding=4,
            offset=12,
        )
        .configure_legend(
            labelColor=palette.ink,
            titleColor=palette.faint,
            titleFontWeight="normal",
            titleFontSize=11,
            gradientThickness=10,
            gradientLength=120,
            gradientStrokeColor=palette.faint,
            gradientStrokeWidth=0.5,
        )
    )
