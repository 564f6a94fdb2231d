"""An encoder and a decoder that share what they know of the tokens."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from atonce.models.interface import Batch, Decoder, Encoder, Engine, Found, Memory, Source, SourceEmbedding
from atonce.shapes import Bool, Float, Int


class Seq2Seq(nn.Module):
    """Any encoder with any decoder."""

    batch_tokens = None

    def __init__(self, source: SourceEmbedding, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder
        self.decoder = decoder
        self.engine: Engine | None = None
        """What search runs with instead (`atonce.fast`)."""

    def forward(
        self,
        source: Source,
        source_mask: Bool[Tensor, "batch real"],
        target_in: Int[Tensor, "batch target_len"],
    ) -> Float[Tensor, "batch target_len dim"]:
        """Features of every position of a known target; `decoder.logits` makes scores of them."""
        return self.decoder.forward(target_in, self.encode(source, source_mask))

    def encode(self, source: Source, mask: Bool[Tensor, "batch real"]) -> Memory:
        """Read the source. `mask`: True where a token, or a column of an image, is real."""
        return self.encoder(*self.source.read(source, mask))

    def map_batches(self, search: Callable[[Batch], Found], batches: Sequence[Batch]) -> Iterator[Found]:
        """What is found for each batch, one after another."""
        return map(search, batches)

    @property
    def weight_count(self) -> int:
        """How many numbers are learned; a shared table counts once."""
        return sum(parameter.numel() for parameter in self.parameters())
