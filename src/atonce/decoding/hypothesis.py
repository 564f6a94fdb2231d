"""What search begins with, what it may find, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from atonce.data.tokenizer import Tokenizer
from atonce.models.interface import Decoder, Memory, Shared, State
from atonce.pauses import pause
from atonce.shapes import Float, Int


@dataclass(frozen=True)
class SpecialTokens:
    """The tokens that search must know by number."""

    bos: int
    """Stands before the first token."""
    eos: int
    """Ends a sentence."""
    suppress: tuple[int, ...] = ()
    """Tokens that no output may hold, such as padding. Their share of the probability stays theirs."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "SpecialTokens":
        """Those of a tokenizer."""
        return cls(tokenizer.bos, tokenizer.eos, suppress=(tokenizer.pad, tokenizer.unk, tokenizer.bos))


@dataclass(frozen=True)
class Hypothesis:
    """One output."""

    tokens: tuple[int, ...]
    """Without `bos`; with `eos`, unless the output was cut off at its longest."""
    log_probability: float
    """Of all tokens together, in nats."""
    score: float
    """What hypotheses are sorted by: the log-probability, divided by the length penalty."""


def length_penalty(length: int, alpha: float) -> float:
    """What the log-probability of `length` tokens, `eos` included, is divided by (Wu 2016, equation 14)."""
    # 5 and 6 are Wu's: one token is divided by 1, and short outputs differ less than by their plain lengths.
    return float(((5 + length) / 6) ** alpha)


def reorder(state: State, rows: Int[Tensor, " rows"], sentences: Int[Tensor, " sentences"] | None) -> State:
    """The state of any decoder with the given rows of the batch, in the given order.

    `sentences`: those the rows belong to, for what is kept once for a sentence; None where all stay in place.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, Shared):
        # Beginnings change places within their sentence, which moves nothing of what they share.
        return state if sentences is None else Shared(reorder(state.content, sentences, sentences))
    if isinstance(state, tuple):
        parts = [reorder(part, rows, sentences) for part in state]
        # A named tuple takes its parts one by one, a plain one all together.
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def should_compact(open_sentences: int, searched: int) -> bool:
    """Whether so many have ended that it pays to go on without them: all the others are moved then."""
    # All others are copied then: with a fifth gone at a time, each is copied a few times, not at every step.
    return open_sentences <= 0.8 * searched


class Prefill(NamedTuple):
    """Where search begins: one beginning of each sentence, the same tokens for all."""

    token: Int[Tensor, " batch"]
    """The last token, which is not taken in yet: `bos` where nothing is forced."""
    totals: Float[Tensor, "batch 1"]
    """Log-probabilities of the forced tokens together, among all tokens: 0 where nothing is forced."""
    state: State
    """Of the decoder, before `token`."""


def prefill(decoder: Decoder, memory: Memory, bos: int, prefix: Sequence[int] = ()) -> Prefill:
    """Take in `bos` and `prefix`, the tokens that every output begins with, but the last of them."""
    state = decoder.start(memory)
    token = torch.full((len(memory.mask),), bos, device=memory.mask.device)
    totals = memory.states.new_zeros(len(token), 1)
    for forced in prefix:
        logits, state = decoder.step(token, state)
        # What is forced is scored as if it had been found.
        totals = totals + logits.log_softmax(-1)[:, forced, None]
        token = torch.full_like(token, forced)
        pause()
    return Prefill(token, totals, state)


def min_length_after(prefix: Sequence[int], max_lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """`max_lengths`, or more where they leave no room for a token behind `prefix`."""
    return max_lengths.clamp(min=len(prefix) + 1) if prefix else max_lengths
