"""An encoder and a decoder that share what they know of the pieces."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from atonce.layers import kernels
from atonce.layers.eight_bits import round_linear_layers
from atonce.models.interface import Batch, Decoder, Encoder, Found, Memory, Source, SourceEmbedding
from atonce.shapes import Bool, Float, Int

if TYPE_CHECKING:
    from atonce.models.compiled import CompiledModel


class Seq2Seq(nn.Module):
    """Any encoder with any decoder."""

    batch_tokens = None

    def __init__(self, source: SourceEmbedding, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder
        self.decoder = decoder
        self.compiled: CompiledModel | None = None
        """What search runs with instead."""

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

        Linear layers and the output's table are rounded; recurrent layers stay as they are. Search runs what
        they are compiled to, where numba is installed.
        """
        self.requires_grad_(False)
        round_linear_layers(self)
        self.decoder.output.round()
        weight = self.decoder.output.weight
        if kernels.can_be_used() and weight.device.type == "cpu" and weight.dtype == torch.float32:
            from atonce.models.compiled import CompiledModel

            self.compiled = CompiledModel(self.source, self.encoder, self.decoder)

    def each(self, search: Callable[[Batch], Found], batches: Sequence[Batch]) -> Iterator[Found]:
        """What is found for each batch, one after another."""
        return map(search, batches)

    @property
    def weight_count(self) -> int:
        """How many numbers are learned; a shared table counts once."""
        return sum(parameter.numel() for parameter in self.parameters())
