"""What all decoders share: they advance by a piece to features, and make scores of pieces of these."""

from torch import Tensor, nn

from atonce.models.embedding import PieceEmbedding
from atonce.models.interface import Memory, State
from atonce.shapes import Float, Int


class PieceDecoder(nn.Module):
    """A `Decoder`. A subclass says where it starts, how it advances, and what it makes of a whole target."""

    def __init__(self, output: PieceEmbedding) -> None:
        super().__init__()
        self.output = output

    def start(self, memory: Memory) -> State:
        """The state before the first piece."""
        raise NotImplementedError

    def advance(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch dim"], State]:
        """Features of the next position, with `token` taken in."""
        raise NotImplementedError

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """Features of every position of a known target."""
        raise NotImplementedError

    def step(self, token: Int[Tensor, " batch"], state: State) -> tuple[Float[Tensor, "batch vocab"], State]:
        """Scores of the next piece after `token`, and the state with `token` taken in."""
        features, state = self.advance(token, state)
        return self.logits(features), state

    def logits(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch vocab"]:
        """Scores of every piece from features."""
        return self.output.logits(features)
