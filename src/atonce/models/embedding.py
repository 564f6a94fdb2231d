"""The table of token vectors: from tokens to vectors, and from features back to scores of tokens."""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.shapes import Bool, Float, Int


class TokenEmbedding(nn.Module):
    """A vector for each token. The same table may serve source, target and output (Press and Wolf 2017)."""

    def __init__(self, vocab: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(vocab, dim), std=dim**-0.5))
        self.scale = math.sqrt(dim)
        self.quantized: nn.Module | None = None
        """What scores tokens in place of the table: the same in fewer bits (`atonce.fast`)."""

    def forward(self, tokens: Int[Tensor, "batch len"]) -> Float[Tensor, "batch len dim"]:
        """Vectors of about unit size in each dimension, though the table's are small for the output's sake.

        Vaswani 2017, section 3.4.
        """
        return F.embedding(tokens, self.weight) * self.scale

    def read(
        self, source: Int[Tensor, "batch len"], mask: Bool[Tensor, "batch len"]
    ) -> tuple[Float[Tensor, "batch len dim"], Bool[Tensor, "batch len"]]:
        """As a source's embedding: a vector for each token, real where the token is."""
        return self(source), mask

    def logits(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch vocab"]:
        """How well features match each token."""
        if self.quantized is None:
            return F.linear(features, self.weight)
        return cast(Tensor, self.quantized(features))
