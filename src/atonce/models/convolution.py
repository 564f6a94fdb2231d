"""Convolution (ConvS2S, Gehring 2017): context from neighbours, from farther with each layer, and no wait."""

from typing import NamedTuple

from torch import Tensor, nn

from atonce.layers.convolution import ConvolutionDecoderBlock, ConvolutionEncoderBlock
from atonce.layers.dropout import dropout
from atonce.layers.masks import mean_of_real
from atonce.layers.positions import SinusoidalPositions
from atonce.models.interface import Decoder, Memory, Shared, TokenEmbedding
from atonce.shapes import Bool, Float, Int


class ConvolutionEncoder(nn.Module):
    """Gated convolutions over the source: a state sees `layers * (kernel // 2)` positions to either side.

    Gehring 2017, sections 3.1 and 3.2, in one width throughout. Unlike there, positions are sinusoids, which
    have no longest sentence, and no weights are normalised.
    """

    def __init__(self, dim: int, *, layers: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.positions = SinusoidalPositions()
        self.dropout = dropout
        self.layers = nn.ModuleList(ConvolutionEncoderBlock(dim, kernel, dropout) for _ in range(layers))

    def forward(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """All positions of a layer at once; the pooled vector is the mean of the real ones."""
        # A convolution knows near from far and not first from last: positions are added all the same (section
        # 3.1).
        states = dropout(self.positions(embedded).states, self.dropout, self.training)
        for layer in self.layers:
            states = layer(states, mask)
        return Memory(states, mask, mean_of_real(states, mask))


class ConvolutionState(NamedTuple):
    """The last inputs of each layer, as many as it sees: of the same size however long the target gets."""

    past: tuple[Float[Tensor, "batch before dim"], ...]
    written: int
    """How many tokens were taken in."""
    source: Shared[Float[Tensor, "sentences source_len dim"]]
    source_mask: Shared[Bool[Tensor, "sentences source_len"]]


class ConvolutionDecoder(Decoder):
    """Gated convolutions over the target so far, each block with its own attention to the source.

    Gehring 2017, section 3.3. The values that attention mixes are the encoder's states, not their sum with
    the source's embeddings, as there: any encoder goes with this decoder, and states are what all give.
    """

    def __init__(
        self, embedding: TokenEmbedding, output: TokenEmbedding, dim: int, *, layers: int, kernel: int,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(output)
        self.embedding = embedding
        self.kernel = kernel
        self.positions = SinusoidalPositions()
        self.dropout = dropout
        self.layers = nn.ModuleList(ConvolutionDecoderBlock(dim, kernel, dropout) for _ in range(layers))

    def start(self, memory: Memory) -> ConvolutionState:
        """Before the first position there is nothing: zeros."""
        batch, _, dim = memory.states.shape
        # As wide as what a layer sees before the newest: so no position is seen that comes later.
        nothing = memory.states.new_zeros(batch, self.kernel - 1, dim)
        return ConvolutionState((nothing,) * len(self.layers), 0, Shared(memory.states), Shared(memory.mask))

    def advance(
        self, token: Int[Tensor, " batch"], state: ConvolutionState
    ) -> tuple[Float[Tensor, "batch dim"], ConvolutionState]:
        """One position through all blocks, from the few before it that they see."""
        features, state = self._advance(token[:, None], state)
        return features[:, 0], state

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """All positions of a layer at once: the whole target is known, and convolutions only look back."""
        # A target is a step of many positions: training and generation share every line.
        features, _ = self._advance(target_in, self.start(memory))
        return features

    def _advance(
        self, tokens: Int[Tensor, "batch new_len"], state: ConvolutionState
    ) -> tuple[Float[Tensor, "batch new_len dim"], ConvolutionState]:
        placed = self.positions(self.embedding(tokens), start=state.written).states
        embedded = dropout(placed, self.dropout, self.training)
        # The tokens' vectors go into each block's query as well (g of Gehring 2017, equation 1).
        states, kept = embedded, []
        for layer, past in zip(self.layers, state.past, strict=True):
            states, last = layer(states, past, embedded, state.source.content, state.source_mask.content)
            kept.append(last)
        written = state.written + tokens.shape[1]
        return states, state._replace(past=tuple(kept), written=written)
