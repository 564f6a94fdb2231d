"""The feed-forward net: nonlinear neurons at each position alone. The control for everything with context."""

from torch import Tensor, nn

from atonce.layers.dropout import dropout
from atonce.layers.masks import mean_of_real
from atonce.layers.transformer import Activation, FeedForwardBlock
from atonce.models.interface import Memory
from atonce.shapes import Bool, Float


class FeedForwardEncoder(nn.Module):
    """A Transformer's encoder without attention and positions: no vector knows of another.

    The pooled vector, the mean of all, is the only place where they meet: a bag of words.
    """

    def __init__(
        self, dim: int, *, layers: int, feed_forward: int, activation: Activation, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(
            FeedForwardBlock(dim, feed_forward, activation=activation, dropout=dropout) for _ in range(layers)
        )
        # Without layers the states are the embeddings as they are.
        self.final_norm = nn.LayerNorm(dim) if layers else nn.Identity()

    def forward(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """All positions at once, since none waits for another; the pooled vector is their mean."""
        states = dropout(embedded, self.dropout, self.training)
        for layer in self.layers:
            states = layer(states)
        states = self.final_norm(states)
        return Memory(states, mask, mean_of_real(states, mask))
