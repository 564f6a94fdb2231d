"""Architectures by the names they are known under, to be set side by side."""

from dataclasses import dataclass

from atonce.config import nearest
from atonce.errors import RecipeError
from atonce.models.config import (
    ModelConfig,
    RecurrentDecoderConfig,
    RecurrentEncoderConfig,
    TransformerDecoderConfig,
    TransformerEncoderConfig,
)


@dataclass(frozen=True)
class Architecture:
    """An architecture and what to call it."""

    name: str
    title: str
    """For people."""
    label: str
    """For people, where there is little room."""
    model: ModelConfig


ARCHITECTURES = (
    Architecture(
        "additive-bigru",
        "Bidirectional GRU with additive attention",
        "GRU + attention",
        ModelConfig(
            dim=192,
            encoder=RecurrentEncoderConfig(kind="gru"),
            decoder=RecurrentDecoderConfig(kind="gru", attention="additive"),
        ),
    ),
    Architecture(
        "transformer",
        "Transformer",
        "Transformer",
        ModelConfig(encoder=TransformerEncoderConfig(), decoder=TransformerDecoderConfig()),
    ),
)


def architecture(name: str) -> Architecture:
    """The architecture called `name`. Raises RecipeError if there is none."""
    for known in ARCHITECTURES:
        if known.name == name:
            return known
    raise RecipeError(
        f"no architecture is called {name!r}",
        why="it is not one of those that have a name",
        fix=nearest(name, [known.name for known in ARCHITECTURES]),
    )
