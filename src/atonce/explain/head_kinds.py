"""Kinds of heads: how wide the attention of a head is, and to what, if it is mostly to one thing.

Kin to the study of Voita 2019 (section 5), whose positional heads look at neighbours, and to that of Clark
2019, where many heads rest on the separator at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from atonce.explain.recording import AttentionRecord, LayerAttention
from atonce.layers.attention import Role
from atonce.result import Result
from atonce.shapes import Bool, Float

MOSTLY = 0.5
"""The mean share of attention from which on a head is said to attend to one thing."""

Label = Literal["diagonal", "previous", "next", "beginning of sentence", "end of sentence", "mixed"]
"""What a head mostly attends to.

Of self-attention: the position itself (diagonal), the one before, the one after; in an encoder the end of the
sentence, which is its last key, in a decoder the beginning, which is its first: there the position itself
holds the token that was written last. Of attention to the source: the place that is as far along (diagonal:
three keys wide, so that of a source of five tokens any head may hit it), or the end. Else mixed."""


@dataclass(frozen=True)
class HeadKind(Result):
    """The kind of one head, for one text."""

    label: Label
    weight: float
    """The mean weight on what the label names; of mixed, on what comes nearest to being named."""
    entropy: float
    """Mean entropy of a query's weights, in bits: 0 attends to one key, 1 to two alike, …"""
    share: float
    """The entropy as a share of the greatest possible, where each query attends to all keys alike: 0 to 1. 0
    where there is only one key."""


def head_kinds(record: AttentionRecord, *, mostly: float = MOSTLY) -> dict[str, tuple[HeadKind, ...]]:
    """The kind of each head, by layer name, for the first text of the batch. `mostly`: see `MOSTLY`."""
    return {name: kinds_of_layer(layer, mostly=mostly) for name, layer in record.items()}


def kinds_of_layer(layer: LayerAttention, *, mostly: float = MOSTLY) -> tuple[HeadKind, ...]:
    """The kind of each head of a layer, for the first text of the batch, which must have no padding."""
    # Padding would count as queries.
    weights = layer.weights[0].float().cpu().numpy()
    return tuple(head_kind(one, layer.role, mostly=mostly) for one in weights)


def head_kind(
    weights: Float[np.ndarray, "query_len key_len"], role: Role, *, mostly: float = MOSTLY
) -> HeadKind:
    """The kind of one head, from its weights for one text without padding, whose rows sum to one.

    In a decoder's self-attention, a query sees the keys up to its own. Queries that see but one key have no
    choice, and say nothing about the head unless there are no others.
    """
    exact = weights.astype(np.float64)
    queries, keys = exact.shape
    sees = np.tri(queries, keys, dtype=bool) if role == "decoder-self" else np.ones((queries, keys), bool)
    entropies, greatest = entropy(exact), np.log2(sees.sum(1))
    chooses = greatest > 0 if (greatest > 0).any() else np.ones(queries, dtype=bool)
    shares = {label: _mean_weight(exact, aim(queries, keys), chooses) for label, aim in _AIMS[role].items()}
    label = max(shares, key=lambda label: shares[label])
    return HeadKind(
        label=label if shares[label] >= mostly else "mixed",
        weight=shares[label],
        entropy=float(entropies.mean()),
        share=float(entropies.sum() / greatest.sum()) if greatest.any() else 0.0,
    )


def entropy(weights: Float[np.ndarray, "query_len key_len"]) -> Float[np.ndarray, " query_len"]:
    """Of each query's weights, -Σ w log₂ w, in bits."""
    logarithms = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    return -(weights * logarithms).sum(1) + 0.0  # no minus zero


def _mean_weight(
    weights: Float[np.ndarray, "query_len key_len"],
    aim: Bool[np.ndarray, "query_len key_len"],
    chooses: Bool[np.ndarray, " query_len"],
) -> float:
    """The mean weight that queries give to such a key, of those that have one; 0 if none has."""
    # The first query has no key before it: that says nothing against a head that looks at the one before.
    counted = chooses & aim.any(1)
    return float((weights * aim)[counted].sum(1).mean()) if counted.any() else 0.0


Aim = Callable[[int, int], Bool[np.ndarray, "query_len key_len"]]
"""From the numbers of queries and keys: True where a head with this aim looks."""


def _beside(offset: int) -> Aim:
    """The key at this distance from the query."""
    return lambda queries, keys: np.eye(queries, keys, offset, dtype=bool)


def _at(place: int) -> Aim:
    """One key for all queries."""

    def aim(queries: int, keys: int) -> Bool[np.ndarray, "query_len key_len"]:
        looked_at = np.zeros((queries, keys), dtype=bool)
        looked_at[:, place] = True
        return looked_at

    return aim


def _along(queries: int, keys: int) -> Bool[np.ndarray, "query_len key_len"]:
    """The keys as far along as the query, give or take one: |i S/T - j| ≤ 1 for query i of T, key j of S."""
    return np.abs(np.arange(queries)[:, None] * keys / queries - np.arange(keys)) <= 1


# Where two are as strong, the first is named. Three keys are easier to hit than one, so the end comes before
# the diagonal of attention to the source.
_AIMS: dict[Role, dict[Label, Aim]] = {
    "encoder-self": {
        "diagonal": _beside(0),
        "previous": _beside(-1),
        "next": _beside(1),
        "end of sentence": _at(-1),
    },
    "decoder-self": {
        "diagonal": _beside(0),
        "previous": _beside(-1),
        "beginning of sentence": _at(0),
    },
    "cross": {"end of sentence": _at(-1), "diagonal": _along},
}
