"""The architectures there are, each with its options. No torch here: recipes are checked without it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from atonce.config import Config

# What no model has had, by far; whether there is memory for it is another question (`training.memory`).
MOST_LAYERS, MOST_HEADS, MOST_KERNEL, MOST_WIDE = 1_000, 1_024, 1_025, 2**20

Dropout = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal["relu", "gelu", "swiglu"]


def _with_a_middle(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"a kernel of {kernel} has no middle -> use an odd one, such as {kernel + 1}")
    return kernel


OddKernel = Annotated[int, Field(ge=1, le=MOST_KERNEL), AfterValidator(_with_a_middle)]


class FeedForwardEncoderConfig(Config):
    """Each position alone, through layers of nonlinear neurons: no context, the control."""

    kind: Literal["feedforward"] = "feedforward"
    layers: int = Field(default=2, ge=0, le=MOST_LAYERS)
    """0: the embeddings as they are."""
    feed_forward: int = Field(default=512, ge=1, le=MOST_WIDE)
    """Width of the hidden layer in each block."""
    activation: Activation = "relu"
    dropout: Dropout = 0.1


class ConvolutionEncoderConfig(Config):
    """Gated convolutions, each position seeing some neighbours more with every layer (Gehring 2017)."""

    kind: Literal["convolution"] = "convolution"
    layers: int = Field(default=4, ge=1, le=MOST_LAYERS)
    kernel: OddKernel = 3
    """Positions that one layer looks at; odd, so that as many are on the left as on the right."""
    dropout: Dropout = 0.1


class RecurrentEncoderConfig(Config):
    """Recurrent layers that read the sentence in one direction or in both."""

    kind: Literal["rnn", "gru", "lstm"]
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS)
    bidirectional: bool = True
    """Read in both directions, half of the width each, so that each word sees left and right."""
    dropout: Dropout = 0.1


class ScanEncoderConfig(Config):
    """Recurrences whose gates do not wait for the state, so that a scan computes all states (Feng 2024)."""

    kind: Literal["mingru", "minlstm"]
    layers: int = Field(default=3, ge=1, le=MOST_LAYERS)
    bidirectional: bool = True
    """Read in both directions, half of the width each, so that each word sees left and right."""
    feed_forward: int = Field(default=512, ge=1, le=MOST_WIDE)
    """Width of the hidden layer in each feed-forward part."""
    dropout: Dropout = 0.1


class TransformerConfig(Config):
    """What both sides of a Transformer can have."""

    layers: int = Field(default=3, ge=1, le=MOST_LAYERS)
    heads: int = Field(default=4, ge=1, le=MOST_HEADS)
    key_value_heads: int | None = Field(default=None, ge=1, le=MOST_HEADS)
    """Heads of keys and values, shared by groups of query heads (Ainslie 2023); without it, as many as
    `heads`."""
    feed_forward: int = Field(default=512, ge=1, le=MOST_WIDE)
    """Width of the hidden layer in each feed-forward part."""
    activation: Activation = "relu"
    norm: Literal["pre", "post"] = "pre"
    """Normalise what goes into each part (pre), or what comes out (post, as in the paper)."""
    norm_kind: Literal["layer", "rms"] = "layer"
    positions: Literal["sinusoidal", "learned", "rotary"] = "sinusoidal"
    """How self-attention knows where a word is."""
    window: int | None = Field(default=None, ge=0, le=10**6)
    """Self-attention sees so many positions on either side, and itself; without it, all."""
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _groups_are_equal(self) -> "TransformerConfig":
        if self.key_value_heads is not None and self.heads % self.key_value_heads:
            raise ValueError(
                f"{self.heads} heads cannot share {self.key_value_heads} heads of keys and values evenly -> "
                f"use a number of key_value_heads that divides {self.heads}"
            )
        return self


class TransformerEncoderConfig(TransformerConfig):
    """Self-attention blocks with a feed-forward layer each (Vaswani 2017, section 3)."""

    kind: Literal["transformer"] = "transformer"


# Told apart by `kind`, so that errors of a recipe name the options of the kind that was meant, and no others.
EncoderConfig = Annotated[
    FeedForwardEncoderConfig
    | ConvolutionEncoderConfig
    | RecurrentEncoderConfig
    | ScanEncoderConfig
    | TransformerEncoderConfig,
    Field(discriminator="kind"),
]

AttentionKind = Literal["none", "additive", "dot", "general"]


class ConvolutionDecoderConfig(Config):
    """Gated convolutions that see only what is written, with attention in each layer (Gehring 2017)."""

    kind: Literal["convolution"] = "convolution"
    layers: int = Field(default=3, ge=1, le=MOST_LAYERS)
    kernel: int = Field(default=3, ge=1, le=MOST_KERNEL)
    """Positions that one layer looks at: the newest and those before it."""
    dropout: Dropout = 0.1


class RecurrentDecoderConfig(Config):
    """Recurrent layers that write the sentence word by word, and may look back at the source at each step."""

    kind: Literal["rnn", "gru", "lstm"]
    layers: int = Field(default=1, ge=1, le=MOST_LAYERS)
    attention: AttentionKind = "additive"
    """none: only the encoder's summary; additive: weights from the previous state (Bahdanau 2015); dot,
    general: weights from the current state (Luong 2015)."""
    input_feeding: bool = False
    """Feed the mixture that predicted one word into the next step too (Luong 2015, section 3.3)."""
    dropout: Dropout = 0.1


class ScanDecoderConfig(Config):
    """Transformer blocks with a parallel recurrence in place of self-attention (Kim 2019; Feng 2024).

    All positions at once in training; in generation a state of constant size.
    """

    kind: Literal["mingru", "minlstm", "ssru"]
    layers: int = Field(default=3, ge=1, le=MOST_LAYERS)
    heads: int = Field(default=4, ge=1, le=MOST_HEADS)
    """Heads of the attention to the source."""
    feed_forward: int = Field(default=512, ge=1, le=MOST_WIDE)
    """Width of the hidden layer in each feed-forward part."""
    dropout: Dropout = 0.1


class TransformerDecoderConfig(TransformerConfig):
    """Masked self-attention, attention to the source and a feed-forward layer a block (Vaswani 2017)."""

    kind: Literal["transformer"] = "transformer"


class ClassifierConfig(Config):
    """One label from the encoder's summary of the source."""

    kind: Literal["classifier"] = "classifier"
    dropout: Dropout = 0.1


DecoderConfig = Annotated[
    ConvolutionDecoderConfig
    | RecurrentDecoderConfig
    | ScanDecoderConfig
    | TransformerDecoderConfig
    | ClassifierConfig,
    Field(discriminator="kind"),
]


class WholeImageConfig(Config):
    """All pixels are one position: what a plain feed-forward net reads."""

    kind: Literal["whole"] = "whole"


class LinesConfig(Config):
    """Each row, or each column, of pixels is a position: what a recurrent net can read one after another."""

    kind: Literal["rows", "columns"]


class PatchesConfig(Config):
    """Squares of pixels, row by row, each a position (Dosovitskiy 2021)."""

    kind: Literal["patches"] = "patches"
    size: int = Field(default=4, ge=1, le=MOST_KERNEL)
    """Side of a square. Images are filled up with paper to whole squares."""


class PooledConvolutionsConfig(Config):
    """Convolutions with max pooling between them; each cell of the last grid is a position (LeCun 1998)."""

    kind: Literal["convolution"] = "convolution"
    channels: tuple[Annotated[int, Field(ge=1, le=MOST_WIDE)], ...] = Field(
        default=(32, 64), min_length=1, max_length=16
    )
    """Features of each stage; after each, two convolutions wide, the grid is pooled to half."""
    kernel: OddKernel = 3
    """Side of the square of pixels that a convolution looks at; odd, so that it has a middle."""
    dropout: Dropout = 0.1


ImageConfig = Annotated[
    WholeImageConfig | LinesConfig | PatchesConfig | PooledConvolutionsConfig, Field(discriminator="kind")
]


class ModelConfig(Config):
    """An encoder, a decoder, and the width they share. Any encoder goes with any decoder."""

    # Even, as sinusoids have as many sines as cosines, and two directions have half of it each.
    dim: int = Field(default=128, ge=2, le=MOST_WIDE, multiple_of=2)
    """Width of embeddings, encoder states and decoder states."""
    tied_embeddings: bool = True
    """One table for source tokens, target tokens and output (Press and Wolf 2017)."""
    image: ImageConfig | None = None
    """How an image becomes a sequence, where the source is one; without it, patches."""
    encoder: EncoderConfig = TransformerEncoderConfig()
    decoder: DecoderConfig = TransformerDecoderConfig()

    # Before, as the union needs a kind to choose by.
    @model_validator(mode="before")
    @classmethod
    def _transformer_unless_said(cls, values: Any) -> Any:
        """A section without a kind changes options of the default one."""
        if not isinstance(values, Mapping):
            return values
        sections = {
            side: values[side] for side in ("encoder", "decoder") if isinstance(values.get(side), Mapping)
        }
        return {**values, **{side: {"kind": "transformer", **given} for side, given in sections.items()}}

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> "ModelConfig":
        for side in (self.encoder, self.decoder):
            if isinstance(side, TransformerConfig | ScanDecoderConfig):
                self._check_heads(side)
        return self

    def _check_heads(self, side: TransformerConfig | ScanDecoderConfig) -> None:
        rotary = isinstance(side, TransformerConfig) and side.positions == "rotary"
        unit = side.heads * (2 if rotary else 1)
        if self.dim % unit:
            nearest = unit * max(1, round(self.dim / unit))
            why = "of equal width" if not rotary else "of equal and even width, which rotary positions need"
            raise ValueError(
                f"dim {self.dim} does not split into {side.heads} heads {why} -> "
                f"use a dim that is a multiple of {unit}, such as {nearest}"
            )
