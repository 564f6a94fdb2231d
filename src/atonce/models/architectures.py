"""Architectures by the names they are known under, to be set side by side."""

from dataclasses import dataclass
from typing import Literal

from atonce.config import nearest
from atonce.errors import RecipeError
from atonce.models.config import (
    AttentionKind,
    ConvolutionDecoderConfig,
    ConvolutionEncoderConfig,
    FeedForwardEncoderConfig,
    ModelConfig,
    RecurrentDecoderConfig,
    RecurrentEncoderConfig,
    ScanDecoderConfig,
    ScanEncoderConfig,
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


def _recurrent(
    cell: Literal["rnn", "gru", "lstm"],
    attention: AttentionKind,
    *,
    both_ways: bool = True,
    feeding: bool = False,
) -> ModelConfig:
    """A recurrent net on either side; those with attention are as their papers have them."""
    return ModelConfig(
        dim=192,
        encoder=RecurrentEncoderConfig(kind=cell, bidirectional=both_ways),
        decoder=RecurrentDecoderConfig(kind=cell, attention=attention, input_feeding=feeding),
    )


# In widths that give all of them about as many weights: 1.8 to 2.4 million with a vocabulary of 8,000.
ARCHITECTURES = (
    # A source becomes one vector.
    Architecture(
        "seq2seq-rnn",
        "Recurrent net without attention",
        "RNN",
        _recurrent("rnn", "none", both_ways=False),
    ),
    Architecture("seq2seq-gru", "GRU without attention", "GRU", _recurrent("gru", "none", both_ways=False)),
    Architecture(
        "seq2seq-lstm", "LSTM without attention", "LSTM", _recurrent("lstm", "none", both_ways=False)
    ),
    Architecture(
        "seq2seq-bilstm", "Bidirectional LSTM without attention", "BiLSTM", _recurrent("lstm", "none")
    ),
    # Attention to the source.
    Architecture(
        "additive-bigru",
        "Bidirectional GRU with additive attention",
        "GRU + attention",
        _recurrent("gru", "additive"),
    ),
    Architecture(
        "additive-bilstm",
        "Bidirectional LSTM with additive attention",
        "LSTM + additive",
        _recurrent("lstm", "additive"),
    ),
    Architecture(
        "dot-bilstm",
        "Bidirectional LSTM with dot attention",
        "LSTM + dot",
        # Luong's attention comes behind the step, so only input feeding lets a step know where the last one
        # looked.
        _recurrent("lstm", "dot", feeding=True),
    ),
    Architecture(
        "general-bilstm",
        "Bidirectional LSTM with general attention",
        "LSTM + attention",
        _recurrent("lstm", "general", feeding=True),
    ),
    # No wait for the step before, in training.
    Architecture(
        "feedforward",
        "Encoder without context, Transformer decoder",
        "No context",
        ModelConfig(dim=144, encoder=FeedForwardEncoderConfig(), decoder=TransformerDecoderConfig()),
    ),
    Architecture(
        "convs2s",
        "Convolutional sequence to sequence",
        "ConvS2S",
        ModelConfig(encoder=ConvolutionEncoderConfig(), decoder=ConvolutionDecoderConfig()),
    ),
    Architecture(
        "mingru",
        "minGRU blocks with attention",
        "minGRU",
        ModelConfig(encoder=ScanEncoderConfig(kind="mingru"), decoder=ScanDecoderConfig(kind="mingru")),
    ),
    Architecture(
        "minlstm",
        "minLSTM blocks with attention",
        "minLSTM",
        ModelConfig(encoder=ScanEncoderConfig(kind="minlstm"), decoder=ScanDecoderConfig(kind="minlstm")),
    ),
    Architecture(
        "transformer-ssru",
        "Transformer with an SSRU decoder",
        "Transformer–SSRU",
        ModelConfig(encoder=TransformerEncoderConfig(), decoder=ScanDecoderConfig(kind="ssru")),
    ),
    Architecture(
        "transformer",
        "Transformer",
        "Transformer",
        ModelConfig(encoder=TransformerEncoderConfig(), decoder=TransformerDecoderConfig()),
    ),
)
ONE_OF_EACH_FAMILY = (
    "seq2seq-lstm", "additive-bigru", "general-bilstm", "convs2s", "mingru", "transformer-ssru",
    "transformer",
)  # fmt: skip
"""What is compared and measured where nothing is named."""


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
