"""Laws of growth: the simplest function of the length that counts follow, and how well."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from atonce.result import HIDDEN, Result, computed

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
