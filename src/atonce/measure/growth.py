"""How work, span and paths grow with the length of the input."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from atonce.measure.laws import Law, law_of
from atonce.measure.work_span import WorkSpan, work_span
from atonce.result import HIDDEN, Result, computed

LENGTHS = (8, 16, 32, 64)
"""Enough to tell the laws apart. Depths in unit cost do not depend on the width, so 8 to 16 wide will do."""


@dataclass(frozen=True, eq=False)
class Growth(Result):
    """What was measured at several lengths, and the law of each count."""

    work: Law
    """Operations on single numbers."""
    span: Law
    """The longest chain, each operation on tensors one step."""
    span_pram: Law
    """The longest chain, a reduction over n being 1 + ⌈log2 n⌉ steps."""
    path: Law
    """The longest of the shortest chains between an input and an output position that are connected."""
    calls: Mapping[int, WorkSpan] = field(repr=False, metadata=HIDDEN)
    """All that was measured, by length."""

    @computed
    def connected(self) -> dict[int, float]:
        """The share of pairs of positions between which there is a chain, by length: `WorkSpan.connected`."""
        return {length: one.connected for length, one in self.calls.items() if one.paths is not None}

    @computed
    def unknown(self) -> Counter[str]:
        """Operations that no rule describes: see `WorkSpan.unknown`."""
        return sum((Counter(one.unknown) for one in self.calls.values()), Counter())

    @computed
    def wide(self) -> Counter[str]:
        """Operations that are described, but not number by number: see `WorkSpan.wide`."""
        return sum((Counter(one.wide) for one in self.calls.values()), Counter())

    @computed
    def reads(self) -> int:
        """How often Python read a number, at all lengths together: see `WorkSpan.reads`."""
        return sum(one.reads for one in self.calls.values())


def growth(
    make_inputs: Callable[[int], Tensor | Sequence[Any]],
    function: Callable[..., Any],
    lengths: Sequence[int] = LENGTHS,
    *,
    paths: bool = True,
    position_dim: int = 1,
    on_step: Callable[[], None] = lambda: None,
) -> Growth:
    """Measure `function(*make_inputs(length))` at each length, and find the laws.

    `paths`, `position_dim`: as in `work_span`. `on_step`: called after each length.
    """
    calls = {}
    for length in lengths:
        # No chain is followed: laws need the counts alone.
        calls[length] = work_span(
            function, make_inputs(length), paths=paths, follow=False, position_dim=position_dim
        )
        on_step()
    return Growth(
        work=law_of({length: one.work for length, one in calls.items()}),
        span=law_of({length: one.span for length, one in calls.items()}),
        span_pram=law_of({length: one.span_pram for length, one in calls.items()}),
        path=law_of({length: one.path for length, one in calls.items()}),
        calls=calls,
    )
