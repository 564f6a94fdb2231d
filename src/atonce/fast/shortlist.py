"""Short lists: the few hundred tokens that a sentence's translation may be made of, in place of thousands.

Jean 2015 (section 3.3) and L'Hostis 2016. Each sentence has a list of its own, so what is found for it does
not depend on what is searched beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from atonce.fast.lexicon import Lexicon
from atonce.models.embedding import TokenEmbedding
from atonce.shapes import Bool, Float, Int


class Candidates(NamedTuple):
    """What each sentence of a batch may become, and the rows of the output's table for it."""

    tokens: Int[Tensor, "sentences candidates"]
    closed: Float[Tensor, "sentences 1 candidates"]
    """-inf where a shorter list has no more tokens, else 0."""
    table: Float[Tensor, "sentences candidates dim"]

    def scores(
        self, features: Float[Tensor, "sentences width dim"]
    ) -> Float[Tensor, "sentences width candidates"]:
        """How well features match each candidate of their sentence."""
        return torch.baddbmm(self.closed, features, self.table.mT)


@dataclass(frozen=True)
class Shortlist:
    """Makes the lists: for each source token its likeliest, and the most frequent of all."""

    likely: Int[Tensor, "size likely"]
    common: Int[Tensor, " common"]

    @classmethod
    def of(cls, lexicon: Lexicon) -> "Shortlist":
        """From what was learned of the training pairs."""
        return Shortlist(torch.from_numpy(lexicon.likely), torch.from_numpy(lexicon.common))

    def candidates(
        self,
        source: Int[Tensor, "sentences source_len"],
        mask: Bool[Tensor, "sentences source_len"],
        output: TokenEmbedding,
        never: Sequence[int],
    ) -> Candidates:
        """The lists of a batch, without the tokens that must not be written."""
        device = source.device
        listed = torch.zeros(len(source), len(output.weight) + 1, dtype=torch.bool, device=device)
        beyond = listed.shape[1] - 1  # where padding goes
        found = self.likely.to(device)[source].masked_fill(~mask[..., None], beyond)
        listed.scatter_(1, found.flatten(1), True)
        listed[:, self.common.to(device)] = True
        listed[:, beyond] = False
        listed[:, list(never)] = False

        counts = listed.sum(1)
        sentence, token = listed.nonzero(as_tuple=True)
        place = torch.arange(len(token), device=device) - (counts.cumsum(0) - counts)[sentence]
        tokens = torch.zeros(len(source), int(counts.max()), dtype=torch.long, device=device)
        tokens[sentence, place] = token
        closed = torch.full_like(tokens, -torch.inf, dtype=output.weight.dtype)
        closed[sentence, place] = 0.0
        return Candidates(tokens, closed[:, None], output.weight[tokens])
