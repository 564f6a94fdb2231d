"""How work, span and paths grow with the length of the input."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from atonce.measure.laws import Law, law_of
from atonce.measure.work_span import WorkSpan, work_span

LENGTHS = (8, 16, 32, 64)
"""Enough to tell the laws apart. Depths in unit cost do not depend on the width, so 8 to 16 wide will do."""


@dataclass(frozen=True, eq=False)
class Growth:
    """What was measured at several lengths, and the law of each count."""

    work: Law
    """Operations on single numbers."""
    span: Law
    """The longest chain, each operation on tensors one step."""
    span_pram: Law
    """The longest chain, a reduction over n being 1 + ⌈log2 n⌉ steps."""
    path: Law
    """The longest of the shortest chains between an input and an output position that are connected."""
    calls: Mapping[int, WorkSpan] = field(repr=False)
    """All that was measured, by length."""

    @property
    def unknown(self) -> Counter[str]:
        """Operations that no rule describes: see `WorkSpan.unknown`."""
        return sum((Counter(one.unknown) for one in self.calls.values()), Counter())

    @property
    def wide(self) -> Counter[str]:
        """Operations that are described, but not number by number: see `WorkSpan.wide`."""
        return sum((Counter(one.wide) for one in self.calls.values()), Counter())

    @property
    def reads(self) -> int:
        """How often Python read a number, at all lengths together: see `WorkSpan.reads`."""
        return sum(one.reads for one in self.calls.values())

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON has them; lengths are texts there."""
        found = {name: getattr(self, name).as_dict() for name in ("work", "span", "span_pram", "path")}
        with_paths = {str(length): one for length, one in self.calls.items() if one.paths is not None}
        return found | {
            "connected": {length: one.connected for length, one in with_paths.items()},
            "unknown": dict(self.unknown),
            "wide": dict(self.wide),
            "reads": self.reads,
        }


def growth(
    make_inputs: Callable[[int], Tensor | Sequence[Any]],
    function: Callable[..., Any],
    lengths: Sequence[int] = LENGTHS,
    *,
    paths: bool = True,
    position_dim: int = 1,
    watch: Callable[[], None] = lambda: None,
) -> Growth:
    """Measure `function(*make_inputs(length))` at each length, and find the laws.

    `paths`, `position_dim`: as in `work_span`. `watch`: called after each length.
    """
    calls = {}
    for length in lengths:
        calls[length] = work_span(
            function, make_inputs(length), paths=paths, follow=False, position_dim=position_dim
        )
        watch()
    return Growth(
        work=law_of({length: one.work for length, one in calls.items()}),
        span=law_of({length: one.span for length, one in calls.items()}),
        span_pram=law_of({length: one.span_pram for length, one in calls.items()}),
        path=law_of({length: one.path for length, one in calls.items()}),
        calls=calls,
    )
