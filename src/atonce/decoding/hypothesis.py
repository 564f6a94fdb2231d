"""What search finds, and what it may find."""

from dataclasses import dataclass

from torch import Tensor

from atonce.models.interface import Shared, State
from atonce.shapes import Int


@dataclass(frozen=True)
class Pieces:
    """The pieces that search must know by number."""

    bos: int
    """Stands before the first piece."""
    eos: int
    """IOSpec a sentence."""
    never: tuple[int, ...] = ()
    """Pieces that no output may hold, such as padding. Their share of the probability stays theirs."""


@dataclass(frozen=True)
class Hypothesis:
    """One output."""

    pieces: tuple[int, ...]
    """Without `bos`; with `eos`, unless the output was cut off at its longest."""
    log_probability: float
    """Of all pieces together, in nats."""
    score: float
    """What hypotheses are sorted by: the log-probability, divided by the length penalty."""


def length_penalty(length: int, alpha: float) -> float:
    """What the log-probability of `length` pieces, `eos` included, is divided by (Wu 2016, equation 14)."""
    return float(((5 + length) / 6) ** alpha)


def reorder(state: State, rows: Int[Tensor, " rows"], sentences: Int[Tensor, " sentences"] | None) -> State:
    """The state of any decoder with the given rows of the batch, in the given order.

    `sentences`: those the rows belong to, for what is kept once for a sentence; None where all stay in place.
    """
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, Shared):
        return state if sentences is None else Shared(reorder(state.content, sentences, sentences))
    if isinstance(state, tuple):
        parts = [reorder(part, rows, sentences) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def few_are_left(open_sentences: int, searched: int) -> bool:
    """Whether so many have ended that it pays to go on without them: all the others are moved then."""
    return open_sentences <= 0.8 * searched
