"""Short lists: the few hundred tokens that a sentence's translation may be made of, in place of thousands.

Jean 2015 (section 3.3) and L'Hostis 2016. Each sentence has a list of its own, so what is found for it does
not depend on what is searched beside it. They are the engine of beam search over texts where nothing can be
compiled.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from atonce.fast.lexicon import Lexicon
from atonce.models.interface import (
    Batch,
    Continuations,
    Decoder,
    Encoder,
    Found,
    Memory,
    Shared,
    Source,
    SourceEmbedding,
    State,
    TopKDecoder,
)
from atonce.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Shortlist:
    """Makes the lists: for each source token its likeliest, and the most frequent of all."""

    likely: Int[Tensor, "size likely"]
    common: Int[Tensor, " common"]
    suppress: tuple[int, ...]
    """Tokens that must not be written."""

    @classmethod
    def of(cls, lexicon: Lexicon, suppress: tuple[int, ...]) -> "Shortlist":
        """From what was learned of the training pairs."""
        return Shortlist(torch.from_numpy(lexicon.likely), torch.from_numpy(lexicon.common), suppress)

    def tokens(
        self, source: Int[Tensor, "sentences source_len"], mask: Bool[Tensor, "sentences source_len"]
    ) -> Int[Tensor, "sentences listed"]:
        """The lists of a batch, in the order of the vocabulary, -1 behind those that are shorter."""
        size = len(self.likely)
        is_listed = torch.zeros(len(source), size + 1, dtype=torch.bool)  # one more place: for padding
        found = self.likely[source].masked_fill(~mask[..., None], size)
        # By a table of yes and no: what is found twice counts once, and the order is the vocabulary's.
        is_listed.scatter_(1, found.flatten(1), True)
        is_listed[:, self.common] = True
        is_listed[:, [*self.suppress, size]] = False

        counts = is_listed.sum(1)
        sentence, token = is_listed.nonzero(as_tuple=True)
        # Numbered within each sentence: less what the sentences before it have.
        place = torch.arange(len(token)) - (counts.cumsum(0) - counts)[sentence]
        tokens = torch.full((len(source), int(counts.max())), -1)
        tokens[sentence, place] = token
        return tokens


class ShortlistEngine:
    """What beam search over texts runs with: the model itself, whose decoder looks at short lists."""

    batch_tokens = None
    side_by_side = False

    def __init__(
        self, source: SourceEmbedding, encoder: Encoder, decoder: Decoder, shortlist: Shortlist
    ) -> None:
        """Of a model's parts: of the model, which has its engine, it would be a circle that is freed late."""
        self.source = source
        self.encoder = encoder
        self.decoder = ListedDecoder(decoder)
        self.shortlist = shortlist

    def serves(self, width: int, *, drawn: bool, forced: bool) -> bool:
        """For wide beams, and unless what is drawn or forced need not be on a list.

        For one beginning of a sentence, a list with its vectors takes longer to lay out than all tokens to
        score.
        """
        return width > 1 and not drawn and not forced

    def warm_up(self) -> None:
        """Nothing is to be done."""

    def encode(self, source: Source, mask: Bool[Tensor, "batch real"]) -> Memory:
        """As `Seq2Seq.encode`, with the lists."""
        memory = self.encoder(*self.source.read(source, mask))
        return memory._replace(listed=self.shortlist.tokens(source, mask))

    def map_batches(self, search: Callable[[Batch], Found], batches: Sequence[Batch]) -> Iterator[Found]:
        """What is found for each batch, one after another."""
        return map(search, batches)


class Candidates(NamedTuple):
    """What each sentence of a batch may become, and the rows of the output's table for it."""

    tokens: Int[Tensor, "sentences listed"]
    closed: Float[Tensor, "sentences 1 listed"]
    """-inf where a shorter list has no more tokens, else 0."""
    table: Float[Tensor, "sentences listed dim"]


class ListedState(NamedTuple):
    """Of a `ListedDecoder`."""

    plain: State
    candidates: Shared[Candidates]


class ListedDecoder(TopKDecoder):
    """Any decoder, which chooses among the tokens of `Memory.listed`; they share the probability."""

    def __init__(self, plain: Decoder) -> None:
        super().__init__(plain.output)
        self.plain = plain

    def start(self, memory: Memory) -> ListedState:
        """As the decoder's, with the rows of the table that the lists take."""
        assert memory.listed is not None
        weight, tokens = self.output.weight, memory.listed.clamp(min=0)
        # As something that is added, since `baddbmm` adds it while it multiplies.
        closed = torch.zeros_like(tokens, dtype=weight.dtype).masked_fill_(memory.listed < 0, -torch.inf)
        candidates = Candidates(tokens, closed[:, None], weight[tokens])
        return ListedState(self.plain.start(memory), Shared(candidates))

    def advance(
        self, token: Int[Tensor, " batch"], state: ListedState
    ) -> tuple[Float[Tensor, "batch dim"], ListedState]:
        """As the decoder's."""
        features, plain = self.plain.advance(token, state.plain)
        return features, state._replace(plain=plain)

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """As the decoder's."""
        return self.plain.forward(target_in, memory)

    def topk(
        self,
        features: Float[Tensor, "rows dim"],
        state: ListedState,
        totals: Float[Tensor, "sentences width"],
        suppress: Int[Tensor, " suppressed"],
        count: int,
    ) -> Continuations:
        """See `models.interface.TopKDecoder`. What is suppressed is on no list."""
        tokens, closed, table = state.candidates.content
        scores = torch.baddbmm(closed, features.unflatten(0, totals.shape), table.mT)
        grown = (scores.log_softmax(-1) + totals[..., None]).flatten(1)  # (sentences, width × listed)
        best, index = grown.topk(min(count, grown.shape[1]))
        listed = tokens.shape[1]
        return Continuations(best, index // listed, tokens.gather(1, index % listed))

    def fewest_scores(self, count: int) -> int:
        """Of a list, whose length only the text tells."""
        return 1
