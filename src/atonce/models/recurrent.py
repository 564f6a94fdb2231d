"""Recurrent nets: a state is carried along the sentence, and attention lets the decoder look back."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from atonce.layers.attention import AdditiveAttention, DotAttention, GeneralAttention, StateAttention
from atonce.layers.dropout import dropout
from atonce.layers.recurrence import Cell, Directions, LayerState, RecurrentLayer, RecurrentStack
from atonce.models.config import AttentionKind
from atonce.models.interface import Decoder, Memory, Shared, TokenEmbedding
from atonce.shapes import Bool, Float, Int


class RecurrentEncoder(nn.Module):
    """Recurrent layers over the source, in one direction or in both, half of the width each."""

    def __init__(self, dim: int, *, cell: Cell, layers: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        ways = 2 if bidirectional else 1
        self.layers = nn.ModuleList(
            Directions(*(RecurrentLayer(cell, dim, dim // ways) for _ in range(ways))) for _ in range(layers)
        )

    def forward(
        self, embedded: Float[Tensor, "batch source_len dim"], mask: Bool[Tensor, "batch source_len"]
    ) -> Memory:
        """Position after position; the pooled vector is the state after the last one read, each direction."""
        states = embedded
        for layer in self.layers:
            # The top layer's alone: those below have gone into it.
            states, pooled = layer(dropout(states, self.dropout, self.training), mask)
        return Memory(states, mask, pooled)


class Source(NamedTuple):
    """What a recurrent decoder looks at: it does not change from step to step."""

    keys: Float[Tensor, "batch source_len dim"]
    values: Float[Tensor, "batch source_len dim"]
    mask: Bool[Tensor, "batch source_len"]
    pooled: Float[Tensor, "batch dim"]


class RecurrentState(NamedTuple):
    """The layers' states, the mixture fed back into the next step, and the source."""

    layers: tuple[LayerState, ...]
    fed_back: Float[Tensor, "batch dim"]
    source: Shared[Source]


class RecurrentDecoder(Decoder):
    """A recurrent net that writes the target, each step waiting for the one before.

    Where the context c comes from, and when:
    - `none`: it is the encoder's pooled vector at each step (Cho 2014): all that is known of the source;
    - `additive`: from the state *before* the step (Bahdanau 2015, section 3.1), and it goes into the step;
    - `dot`, `general`: from the state *after* the step (Luong 2015, section 3.1).
    Then the attentional state h̃ = tanh(W [s; c]) predicts the token (Luong 2015, equation 5); with input
    feeding it also goes into the next step.
    """

    def __init__(
        self, embedding: TokenEmbedding, output: TokenEmbedding, dim: int, *, cell: Cell, layers: int,
        attention: AttentionKind, input_feeding: bool, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(output)
        self.embedding = embedding
        self.dropout = dropout
        self.attention = build_attention(attention, dim)
        self.looks_before = attention == "additive"
        self.input_feeding = input_feeding
        # Luong's context comes behind the step and has no place in its inputs.
        context_goes_in = attention in ("none", "additive")
        self.stack = RecurrentStack(cell, dim * (1 + context_goes_in + input_feeding), dim, layers, dropout)
        self.first_states = nn.Linear(dim, dim * layers)
        self.combine = nn.Linear(2 * dim, dim)

    def start(self, memory: Memory) -> RecurrentState:
        """Every layer's hidden state from the pooled vector, and nothing fed back yet."""
        keys = memory.states if self.attention is None else self.attention.keys(memory.states)
        source = Source(keys, memory.states, memory.mask, memory.pooled)
        # s_0 = tanh(W h) (Bahdanau 2015, appendix A.2.2): the range in which the states of all cells are.
        hidden = self.first_states(memory.pooled).tanh().chunk(len(self.stack.layers), dim=-1)
        layers = tuple(
            # An LSTM's cell begins empty: the gates decide what enters it.
            (first, torch.zeros_like(first)) if layer.cell == "lstm" else (first,)
            for layer, first in zip(self.stack.layers, hidden, strict=True)
        )
        return RecurrentState(layers, torch.zeros_like(memory.pooled), Shared(source))

    def advance(
        self, token: Int[Tensor, " batch"], state: RecurrentState
    ) -> tuple[Float[Tensor, "batch dim"], RecurrentState]:
        """One more token."""
        state = self._advance(self.embedding(token[:, None])[:, 0], state)
        return state.fed_back, state

    def forward(
        self, target_in: Int[Tensor, "batch target_len"], memory: Memory
    ) -> Float[Tensor, "batch target_len dim"]:
        """The states are a chain in any case. What can be taken out of it is taken out of it.

        Where a step needs the mixture of the one before (attention from the previous state, input feeding)
        the whole step is in the chain, attention and all. Otherwise only the fused recurrence is, and the
        attention of all positions is one batch.
        """
        embedded = dropout(self.embedding(target_in), self.dropout, self.training)
        state = self.start(memory)
        if self.looks_before or self.input_feeding:
            mixtures = []
            for inputs in embedded.unbind(1):
                state = self._advance(inputs, state)
                mixtures.append(state.fed_back)
            # Dropped on the way to the scores only: what was fed back stays whole, as it does in generation.
            return self._dropped(torch.stack(mixtures, dim=1))
        if self.attention is None:
            # The same at each position, so it goes through the fused kernels with the tokens.
            pooled = memory.pooled[:, None].expand(-1, embedded.shape[1], -1)
            hidden = self.stack(torch.cat([embedded, pooled], -1), state.layers)
            return self._dropped(self._mixture(hidden, pooled))
        hidden = self.stack(embedded, state.layers)
        return self._dropped(self._mixture(hidden, self._context(hidden, state.source.content)))

    def _advance(self, embedded: Float[Tensor, "batch dim"], state: RecurrentState) -> RecurrentState:
        """Take one token. The order of the lines is the order of the waiting."""
        inputs = [embedded]
        if self.attention is None or self.looks_before:
            context = self._context_of_each(state.layers[-1][0], state.source.content)
            inputs.append(context)
        if self.input_feeding:
            inputs.append(state.fed_back)
        layers = self.stack.step(torch.cat(inputs, dim=-1), state.layers)
        hidden = layers[-1][0]
        if self.attention is not None and not self.looks_before:
            context = self._context_of_each(hidden, state.source.content)
        return RecurrentState(layers, self._mixture(hidden, context), state.source)

    def _context_of_each(
        self, hidden: Float[Tensor, "batch dim"], source: Source
    ) -> Float[Tensor, "batch dim"]:
        """For one state of each beginning; those of a sentence look at its source together."""
        # By sentence, so that its keys are there once, not for each beginning.
        return self._context(hidden.unflatten(0, (len(source.mask), -1)), source).flatten(0, 1)

    def _context(
        self, hidden: Float[Tensor, "batch target_len dim"], source: Source
    ) -> Float[Tensor, "batch target_len dim"]:
        if self.attention is None:
            return source.pooled[:, None].expand_as(hidden)
        return self.attention(hidden, source.keys, source.values, source.mask)

    def _mixture(
        self, hidden: Float[Tensor, "*batch dim"], context: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim"]:
        return self.combine(torch.cat([hidden, context], dim=-1)).tanh()

    def _dropped(
        self, features: Float[Tensor, "batch target_len dim"]
    ) -> Float[Tensor, "batch target_len dim"]:
        return dropout(features, self.dropout, self.training)


def build_attention(kind: AttentionKind, dim: int) -> StateAttention | None:
    """The attention of a recurrent decoder; None where it has none."""
    match kind:
        case "none":
            return None
        case "additive":
            return AdditiveAttention(dim)
        case "dot":
            return DotAttention()
        case "general":
            return GeneralAttention(dim)
