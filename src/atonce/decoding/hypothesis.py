"""What search finds, and what it may find."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from atonce.models.interface import State
from atonce.shapes import Int


@dataclass(frozen=True)
class Pieces:
    """The pieces that search must know by number."""

    bos: int
    """Stands before the first piece."""
    eos: int
    """Ends a sentence."""
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


def reorder(state: State, rows: Int[Tensor, " rows"]) -> State:
    """The state of any decoder with the given rows of the batch, in the given order."""
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    parts: Sequence[State] = [reorder(part, rows) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
