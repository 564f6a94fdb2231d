"""How work, span and paths grow with the length of the input: the counts, and the law that they follow.

A law is the simplest function of the length that fits all counts.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from atonce.measure.work_span import WorkSpan, work_span
from atonce.result import HIDDEN, Result, computed

LENGTHS = (8, 16, 32, 64)
"""Enough to tell the laws apart. Depths in unit cost do not depend on the width, so 8 to 16 wide will do."""

LawName = Literal["constant", "logarithmic", "linear", "linearithmic", "quadratic"]

_TERMS: dict[LawName, tuple[Callable[[float], float], ...]] = {
    "constant": (),
    "logarithmic": (math.log2,),
    "linear": (lambda n: n,),
    "linearithmic": (lambda n: n * math.log2(n), lambda n: n),
    "quadratic": (lambda n: n * n, lambda n: n),
}
"""From the slowest to the fastest growth: the term that decides, and the smaller ones that come with it."""

_SIGNS: dict[LawName, tuple[str, ...]] = {
    "constant": (),
    "logarithmic": ("log2 n",),
    "linear": ("n",),
    "linearithmic": ("n log2 n", "n"),
    "quadratic": ("n²", "n"),
}

ORDERS: dict[LawName, str] = {
    "constant": "1", "logarithmic": "log n", "linear": "n", "linearithmic": "n log n", "quadratic": "n²",
}  # fmt: skip

TOLERANCE = 0.02
"""A law holds if no count is farther from it than this share of the count."""


@dataclass(frozen=True)
class Law(Result):
    """What was counted at each length, and the law it follows."""

    values: Mapping[int, int | float]
    """By length."""
    law: LawName | None
    """The one with the fewest terms that all values follow within `TOLERANCE`, of several the nearest; the
    nearest of all where they follow none. None where there is nothing to follow: less than two values."""
    factors: tuple[float, ...] = field(metadata=HIDDEN)
    """What the terms are multiplied by, the deciding one first, the constant last: (9, 1) of 9 n + 1."""
    error: float
    """The greatest distance from the law, as a share of the value."""

    @computed
    def slope(self) -> float:
        """What the deciding term is multiplied by: 9 of 9 n + 1; the value itself where it is constant."""
        return self.factors[0] if self.factors else math.nan

    def at(self, length: int) -> float:
        """What the law says of a length, measured or not; NaN where there is no law."""
        if self.law is None:
            return math.nan
        terms = [*(term(float(length)) for term in _TERMS[self.law]), 1.0]
        return sum(factor * term for factor, term in zip(self.factors, terms, strict=False))

    @computed
    def formula(self) -> str | None:
        """The law as it is written, such as "9 n + 1"; None where there is none."""
        return None if self.law is None else str(self)

    @property
    def order(self) -> str:
        """The deciding term alone: "1", "log n", "n", "n log n" or "n²"."""
        return "–" if self.law is None else ORDERS[self.law]

    def __str__(self) -> str:
        """Such as "9 n + 1"."""
        if self.law is None:
            return "–"
        # Within the tolerance, but not the same at all lengths: so it is said.
        if self.law == "constant" and self.error > 1e-6:
            return f"about {self.slope:,.3g}"
        signs = [*_SIGNS[self.law], ""]
        largest = max(map(abs, self.factors))
        told = [
            (factor, sign)
            for factor, sign in zip(self.factors, signs, strict=False)  # of few values there are fewer
            if abs(factor) > 1e-6 * largest or len(signs) == 1
        ]
        return " + ".join(_product(factor, sign) for factor, sign in told).replace("+ -", "− ")


def law_of(values: Mapping[int, int | float | None]) -> Law:
    """The law that `values` by length follow. What is None was not there to be counted, and is left out."""
    counted = {length: value for length, value in values.items() if value is not None}
    if len(counted) < 2:
        return Law(counted, None, (), math.nan)
    fits = {name: _fit(counted, name) for name in _TERMS}
    # More terms fit whatever fewer fit: so the fewest terms count first, then the least error.
    # A negative factor of the deciding term: the count would fall below zero for long inputs.
    within = [name for name, (factors, error) in fits.items() if error <= TOLERANCE and factors[0] >= 0]
    simplest = min((len(_TERMS[name]) for name in within), default=0)
    among = [name for name in within if len(_TERMS[name]) == simplest] or list(fits)
    name = min(among, key=lambda name: fits[name][1])
    return Law(counted, name, *fits[name])


def _fit(values: Mapping[int, int | float], name: LawName) -> tuple[tuple[float, ...], float]:
    """Factors and error of the best law of this name. Errors are relative: short lengths count too."""
    terms = np.array([[term(float(length)) for term in _TERMS[name]] + [1.0] for length in values])
    terms = terms[:, : len(values) - 1]  # fewer than there are values, or any would fit
    wanted = np.array(list(values.values()), dtype=float)
    # Least squares of relative errors; the least divisor is for counts of zero.
    weights = 1 / np.maximum(np.abs(wanted), 1e-300)
    found, *_ = np.linalg.lstsq(terms * weights[:, None], wanted * weights, rcond=None)
    error = float(np.abs((terms @ found - wanted) * weights).max())
    return tuple(found.tolist()), error


def _product(factor: float, sign: str) -> str:
    """Such as "3 n", with a whole number where it is as good as whole."""
    nearest = round(factor)
    whole = abs(factor - nearest) < 1e-6 * max(1.0, abs(factor))
    if whole and nearest == 1 and sign:
        return sign
    return f"{nearest:,}" if whole and not sign else f"{nearest if whole else factor:,.4g} {sign}".strip()


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
