"""What brings positions together: how layers and models are told apart in pictures."""

from collections.abc import Mapping
from typing import Literal

from atonce.figures.style import LIGHT, Palette
from atonce.models.architectures import ARCHITECTURES

Family = Literal["recurrence", "scan", "convolution", "attention", "feed-forward"]


COLOURS: Mapping[Family, tuple[str, str]] = {
    "recurrence": ("#b3470b", "#f29a5b"),
    "scan": ("#8a3a86", "#d893d4"),
    "convolution": ("#0a7a5a", "#4fd1a5"),
    "attention": ("#0b5fa5", "#6db3f2"),
    "feed-forward": ("#6b6b6b", "#b0b0b0"),
}
"""On light and on dark paper: told apart also by those who tell few colours apart (Okabe and Ito 2008)."""


def colour_of(family: Family, palette: Palette) -> str:
    """Its colour on this paper."""
    return COLOURS[family][0 if palette is LIGHT else 1]


def family_of_layer(name: str) -> Family:
    """What a layer does to bring positions together; of a program of the user's, nothing is known."""
    for sign, family in _SIGNS.items():
        if sign in name:
            return family
    return "feed-forward"


def family_of_model(name: str) -> Family:
    """What an architecture's encoder does; a run of whatever architecture counts as attention."""
    for known in ARCHITECTURES:
        if known.name == name:
            return _ENCODERS[known.model.encoder.kind]
    return "attention"


_SIGNS: dict[str, Family] = {
    "attention": "attention", "convolution": "convolution", "mingru": "scan", "rnn": "recurrence",
    "gru": "recurrence", "lstm": "recurrence",
}  # fmt: skip
_ENCODERS: dict[str, Family] = {
    "feedforward": "feed-forward", "convolution": "convolution", "rnn": "recurrence", "gru": "recurrence",
    "lstm": "recurrence", "mingru": "scan", "minlstm": "scan", "transformer": "attention",
}  # fmt: skip
