"""A label for the whole source: the decoder of a classifier, whose only step is its last."""

from torch import Tensor, nn

from atonce.layers.dropout import dropout
from atonce.models.embedding import TokenEmbedding
from atonce.models.interface import Decoder, Memory
from atonce.shapes import Float, Int


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
        return self.norm(state[0]), state

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """The same features at every position; a target has only one."""
        features = dropout(self.norm(memory.pooled), self.dropout, self.training)
        return features[:, None].expand(-1, target_in.shape[1], -1)
