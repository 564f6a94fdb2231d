"""Scores of all tokens for some rows, and the best of them."""

import numpy as np

from atonce.fast.functions import exp, f32
from atonce.fast.jit import compiled
from atonce.fast.linear import multiply, workspace
from atonce.fast.weights import START, Blocks, linear_at, one_of
from atonce.shapes import Float, Int

AT_ONCE = 16
"""Rows whose scores exist at once: they stay in a core's cache."""
GROUP = 128
"""Scores of which only the greatest is looked at, unless it is among the best."""


@compiled
def topk(
    table: Blocks, vocab: int, features: Float[np.ndarray, "rows dim"],
    suppress: Int[np.ndarray, " suppressed"], gains: Float[np.ndarray, "rows count"],
    tokens: Int[np.ndarray, "rows count"], first: int, last: int,
) -> None:  # fmt: skip
    """Write the likeliest tokens of rows `first` to `last`, best first, and their log-probabilities: `gains`.

    `table`: the linear layer that makes scores. `suppress`: tokens that are not chosen; their share of the
    probability stays theirs.
    """
    dim = features.shape[1]
    scoring, _ = linear_at(one_of(table, 0), START, dim, vocab)
    rows = min(AT_ONCE, last - first)
    memory, scores = workspace(rows, dim), np.empty((rows, vocab), np.float32)
    for begin in range(first, last, AT_ONCE):
        end = min(begin + AT_ONCE, last)
        multiply(memory, features[begin:end], scoring, scores[: end - begin])
        for row in range(begin, end):
            mine = scores[row - begin]
            # Before tokens are closed, whose share stays theirs.
            whole = log_of_sum(mine)
            for token in suppress:
                mine[token] = -np.inf
            _best(mine, gains[row], tokens[row])
            gains[row] -= whole


@compiled
def _best(
    scores: Float[np.ndarray, " vocab"], best: Float[np.ndarray, " count"], places: Int[np.ndarray, " count"]
) -> None:
    """Write the greatest scores and where they are, greatest first; of equal ones, the first."""
    count = len(best)
    best[:] = -np.inf
    places[:] = 0
    for group in range(0, len(scores), GROUP):
        some = scores[group : group + GROUP]
        # Not above the last of the best: nothing in here is, and most groups end here.
        if greatest(some) <= best[count - 1]:
            continue
        for i in range(len(some)):
            rank = count
            # Sorted as they come: the best are few, and seldom does one join them.
            while rank > 0 and some[i] > best[rank - 1]:
                rank -= 1
            for behind in range(count - 1, rank, -1):
                best[behind], places[behind] = best[behind - 1], places[behind - 1]
            if rank < count:
                best[rank], places[rank] = some[i], group + i


@compiled
def log_of_sum(scores: Float[np.ndarray, " vocab"]) -> np.float32:
    """The logarithm of the sum of exponentials."""
    top, total = greatest(scores), f32(0)
    for i in range(len(scores)):
        total += exp(scores[i] - top)
    return top + np.log(total)


@compiled
def greatest(numbers: Float[np.ndarray, " some"]) -> np.float32:
    """Of some numbers, by their bits as whole numbers: of these, the compiler compares many at once."""
    top = np.int32(-(2**31))
    for i in range(len(numbers)):
        top = max(top, _in_order(np.float32(numbers[i]).view(np.int32)))
    return np.int32(_in_order(top)).view(np.float32)


@compiled
def _in_order(bits: np.int32) -> np.int32:
    """Bits of a number as a whole number in the same order, and back."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(2**31 - 1)))
