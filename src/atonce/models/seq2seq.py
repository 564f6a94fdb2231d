"""An encoder and a decoder that share what they know of the pieces."""

from torch import Tensor, nn

from atonce.layers.eight_bits import round_linear_layers
from atonce.models.interface import Decoder, Encoder, Memory, Source, SourceEmbedding
from atonce.shapes import Bool, Float, Int


class Seq2Seq(nn.Module):
    """Any encoder with any decoder."""

    def __init__(self, source: SourceEmbedding, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self,
        source: Source,
        source_mask: Bool[Tensor, "batch real"],
        target_in: Int[Tensor, "batch target_len"],
    ) -> Float[Tensor, "batch target_len dim"]:
        """Features of every position of a known target; `decoder.logits` makes scores of them."""
        return self.decoder.forward(target_in, self.encode(source, source_mask))

    def encode(self, source: Source, mask: Bool[Tensor, "batch real"]) -> Memory:
        """Read the source. `mask`: True where a piece, or a column of an image, is real."""
        return self.encoder(*self.source.read(source, mask))

    def round_to_eight_bits(self) -> None:
        """From now on, multiply in eight bits: faster generation on a CPU that can, and no more learning.

        Linear layers and the output's table are rounded; recurrent layers stay as they are.
        """
        self.requires_grad_(False)
        round_linear_layers(self)
        self.decoder.output.round()

    @property
    def weight_count(self) -> int:
        """How many numbers are learned; a shared table counts once."""
        return sum(parameter.numel() for parameter in self.parameters())
