"""An encoder and a decoder as one model; and the simplest decoder, a classifier's, which writes one label."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from atonce.layers.dropout import dropout
from atonce.models.interface import (
    Batch,
    Decoder,
    Encoder,
    Engine,
    Found,
    Memory,
    Source,
    SourceEmbedding,
    TokenEmbedding,
)
from atonce.shapes import Bool, Float, Int


class Seq2Seq(nn.Module):
    """Any encoder with any decoder."""

    batch_tokens = None

    def __init__(self, source: SourceEmbedding, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder
        self.decoder = decoder
        # No submodule, so neither in the weights that are saved nor moved to a device with them.
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


class Classifier(Decoder):
    """Scores of labels from the pooled vector: a decoder that writes one label and does not look back.

    So everything that trains and validates a translator does the same for a classifier.
    """

    def __init__(self, output: TokenEmbedding, dim: int, *, dropout: float) -> None:
        super().__init__(output)
        self.norm = nn.LayerNorm(dim)
        self.dropout = dropout

    def start(self, memory: Memory) -> tuple[Float[Tensor, "batch dim"]]:
        """All that is known of the source."""
        return (memory.pooled,)

    def advance(
        self, token: Int[Tensor, " batch"], state: tuple[Float[Tensor, "batch dim"]]
    ) -> tuple[Float[Tensor, "batch dim"], tuple[Float[Tensor, "batch dim"]]]:
        """The same features, whatever `token` is."""
        # No dropout here: `advance` serves outputs, `forward` training.
        return self.norm(state[0]), state

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """The same features at every position; a target has only one."""
        features = dropout(self.norm(memory.pooled), self.dropout, self.training)
        return features[:, None].expand(-1, target_in.shape[1], -1)
