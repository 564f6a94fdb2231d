"""The architectures there are, each with its options. No torch here: recipes are checked without it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from atonce.config import Config

Dropout = Annotated[float, Field(ge=0, lt=1)]


class RecurrentEncoderConfig(Config):
    """Recurrent layers that read the sentence in one direction or in both."""

    kind: Literal["gru", "lstm"]
    layers: int = Field(default=1, ge=1)
    bidirectional: bool = True
    """Read in both directions, half of the width each, so that each word sees left and right."""
    dropout: Dropout = 0.1


class _Blocks(Config):
    """What both sides of a Transformer can have."""

    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=512, ge=1)
    """Width of the hidden layer in each feed-forward part."""
    norm: Literal["pre", "post"] = "pre"
    """Normalise what goes into each part (pre), or what comes out (post, as in the paper)."""
    dropout: Dropout = 0.1


class TransformerEncoderConfig(_Blocks):
    """Self-attention blocks with a feed-forward layer each (Vaswani 2017, section 3)."""

    kind: Literal["transformer"] = "transformer"


EncoderConfig = Annotated[RecurrentEncoderConfig | TransformerEncoderConfig, Field(discriminator="kind")]

AttentionKind = Literal["none", "additive", "dot", "general"]


class RecurrentDecoderConfig(Config):
    """Recurrent layers that write the sentence word by word, and may look back at the source at each step."""

    kind: Literal["gru", "lstm"]
    layers: int = Field(default=1, ge=1)
    attention: AttentionKind = "additive"
    """none: only the encoder's summary; additive: weights from the previous state (Bahdanau 2015); dot,
    general: weights from the current state (Luong 2015)."""
    input_feeding: bool = False
    """Feed the mixture that predicted one word into the next step too (Luong 2015, section 3.3)."""
    dropout: Dropout = 0.1


class TransformerDecoderConfig(_Blocks):
    """Masked self-attention, attention to the source and a feed-forward layer a block (Vaswani 2017)."""

    kind: Literal["transformer"] = "transformer"


DecoderConfig = Annotated[RecurrentDecoderConfig | TransformerDecoderConfig, Field(discriminator="kind")]


class ModelConfig(Config):
    """An encoder, a decoder, and the width they share. Any encoder goes with any decoder."""

    dim: int = Field(default=128, ge=2, multiple_of=2)
    """Width of embeddings, encoder states and decoder states."""
    tied_embeddings: bool = True
    """One table for source pieces, target pieces and output (Press and Wolf 2017)."""
    encoder: EncoderConfig = TransformerEncoderConfig()
    decoder: DecoderConfig = TransformerDecoderConfig()

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
            if side.kind == "transformer" and self.dim % side.heads:
                nearest = side.heads * max(1, round(self.dim / side.heads))
                raise ValueError(
                    f"dim {self.dim} does not split into {side.heads} heads of equal width -> "
                    f"use a dim that is a multiple of {side.heads}, such as {nearest}"
                )
        return self
