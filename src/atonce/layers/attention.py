"""Attention: look at every input that may be seen, and mix what is there by how well it matches.

Each layer here can be watched (`observing`): then it computes its weights in the open, hands them to the
observer, and keeps nothing. Unwatched, it uses the fastest kernel there is and the weights never exist.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.positions import rotated
from atonce.layers.precision import products_are_reduced
from atonce.shapes import Bool, Float

Role = Literal["encoder-self", "decoder-self", "cross"]
"""Who looks at whom: the source at itself, the target at itself, the target at the source."""

Observer = Callable[["Attention", Float[Tensor, "batch heads query_len key_len"]], None]

_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Within the block, call `observer(layer, weights)` whenever an attention layer of this thread runs."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def is_watched() -> bool:
    """Whether somebody watches attention in this thread."""
    return _observer.get() is not None


class KeyValue(NamedTuple):
    """What is looked at, projected once: keys to compare with, values to mix."""

    key: Float[Tensor, "batch key_value_heads key_len head_dim"]
    value: Float[Tensor, "batch key_value_heads key_len head_dim"]


class Attention(nn.Module):
    """What all attention layers share: a role, and a way to be watched."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        self.role: Role = role

    def show(self, weights: Float[Tensor, "batch heads query_len key_len"]) -> None:
        """Hand `weights` to whoever watches."""
        if observer := _observer.get():
            observer(self, weights)


def masked_softmax(
    scores: Float[Tensor, "*batch query_len key_len"], mask: Bool[Tensor, "*#batch query_len key_len"]
) -> Float[Tensor, "*batch query_len key_len"]:
    """Weights that sum to one over what may be seen and are exactly zero elsewhere.

    A query that may see nothing gets zeros, not NaN.
    """
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)


class MultiHeadAttention(Attention):
    """Scaled dot-product attention by several heads side by side (Vaswani 2017, section 3.2, equation 1).

    Shapes: queries `(batch, query_len, dim)`, states to look at `(batch, key_len, dim)`. With fewer
    `key_value_heads` than `heads`, each serves a group of neighbouring heads (Ainslie 2023, section 2.2), and
    generation keeps so much less; 1 is multi-query attention (Shazeer 2019).
    """

    def __init__(self, dim: int, heads: int, *, role: Role, key_value_heads: int | None = None) -> None:
        super().__init__(role)
        self.heads = heads
        self.key_value_heads = key_value_heads or heads
        width = dim // heads * self.key_value_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, width)
        self.value = nn.Linear(dim, width)
        self.output = nn.Linear(dim, dim)

    def project(
        self,
        states: Float[Tensor, "batch key_len dim"],
        rotation: Float[Tensor, "#key_len head_dim"] | None = None,
    ) -> KeyValue:
        """Keys and values of `states`. They do not depend on the query, so generation keeps them.

        `rotation`: where the states stand, with rotary positions (`layers.positions.rotated`).
        """
        key = _split(self.key(states), self.key_value_heads)
        value = _split(self.value(states), self.key_value_heads)
        return KeyValue(key if rotation is None else rotated(key, rotation), value)

    def forward(
        self,
        queries: Float[Tensor, "batch query_len dim"],
        seen: KeyValue,
        mask: Bool[Tensor, "#batch #query_len key_len"] | None = None,
        *,
        causal: bool = False,
        rotation: Float[Tensor, "#query_len head_dim"] | None = None,
    ) -> Float[Tensor, "batch query_len dim"]:
        """Mix the values by how well their keys match each query.

        `mask`: True where a query may look. `causal`: each query sees the keys up to its own position
        (query i of `query_len` stands at key i). Give one of the two, or neither. `rotation`: where the
        queries stand, with rotary positions.
        """
        query = _split(self.query(queries), self.heads)
        if rotation is not None:
            query = rotated(query, rotation)
        return self.mixture(query, seen, None if mask is None else mask[:, None], causal=causal)

    def mixture(
        self,
        query: Float[Tensor, "batch heads query_len head_dim"],
        seen: KeyValue,
        mask: Bool[Tensor, "#batch 1 #query_len key_len"] | None,
        *,
        causal: bool = False,
    ) -> Float[Tensor, "batch query_len dim"]:
        """As `forward`, from queries that are projected already."""
        seen = self._for_each_head(seen)
        if not is_watched() and not products_are_reduced(query.device):
            mixed = F.scaled_dot_product_attention(query, seen.key, seen.value, mask, is_causal=causal)
        else:
            mixed = self._in_the_open(query, seen, mask, causal=causal)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _in_the_open(
        self,
        query: Float[Tensor, "batch heads query_len head_dim"],
        seen: KeyValue,
        mask: Bool[Tensor, "#batch 1 #query_len key_len"] | None,
        *,
        causal: bool,
    ) -> Float[Tensor, "batch heads query_len head_dim"]:
        scores = query @ seen.key.mT / math.sqrt(query.shape[-1])
        may_look = scores.new_ones(scores.shape[-2:], dtype=torch.bool) if mask is None else mask
        if causal:
            may_look = may_look.tril()
        weights = masked_softmax(scores, may_look.expand(scores.shape))
        self.show(weights)
        return weights @ seen.value

    def _for_each_head(self, seen: KeyValue) -> KeyValue:
        """Shared keys and values, repeated for each head of their group.

        The fused kernel could share them itself (`enable_gqa`), but not with a mask on every device.
        """
        group = self.heads // self.key_value_heads
        if group == 1:
            return seen
        return KeyValue(*(part.repeat_interleave(group, dim=1) for part in seen))


def _split(states: Float[Tensor, "batch len width"], heads: int) -> Float[Tensor, "batch heads len head_dim"]:
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


class StateAttention(Attention):
    """One head that looks from the state of a recurrent decoder at the source: α of Bahdanau and Luong.

    A subclass says what its keys are and how they score; the rest is the same for all.
    """

    def __init__(self) -> None:
        super().__init__("cross")

    def keys(self, states: Float[Tensor, "batch key_len dim"]) -> Float[Tensor, "batch key_len dim"]:
        """What the queries are compared with. Computed once for a sentence."""
        return states

    def scores(
        self, queries: Float[Tensor, "batch query_len dim"], keys: Float[Tensor, "batch key_len dim"]
    ) -> Float[Tensor, "batch query_len key_len"]:
        """How well each query matches each key."""
        raise NotImplementedError

    def forward(
        self,
        queries: Float[Tensor, "batch query_len dim"],
        keys: Float[Tensor, "batch key_len dim"],
        values: Float[Tensor, "batch key_len dim"],
        mask: Bool[Tensor, "batch key_len"],
    ) -> Float[Tensor, "batch query_len dim"]:
        """The mixture of values (the context c) for each query. `mask`: True where a key is real."""
        scores = self.scores(queries, keys)
        weights = masked_softmax(scores, mask[:, None].expand(scores.shape))
        self.show(weights[:, None])
        return weights @ values


class AdditiveAttention(StateAttention):
    """score(s, h) = v · tanh(W s + U h) (Bahdanau 2015, section 3.1 and appendix A.1.2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_query = nn.Linear(dim, dim, bias=False)
        self.of_key = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def keys(self, states: Float[Tensor, "batch key_len dim"]) -> Float[Tensor, "batch key_len dim"]:
        """U h, which no query changes."""
        return self.of_key(states)

    def scores(
        self, queries: Float[Tensor, "batch query_len dim"], keys: Float[Tensor, "batch key_len dim"]
    ) -> Float[Tensor, "batch query_len key_len"]:
        """v · tanh(W s + U h). Takes memory for batch × query_len × key_len × dim numbers."""
        summed = self.of_query(queries)[:, :, None] + keys[:, None]
        return self.score(summed.tanh()).squeeze(-1)


class DotAttention(StateAttention):
    """score(s, h) = s · h (Luong 2015, equation 8)."""

    def scores(
        self, queries: Float[Tensor, "batch query_len dim"], keys: Float[Tensor, "batch key_len dim"]
    ) -> Float[Tensor, "batch query_len key_len"]:
        """The plain dot product: no weights of its own."""
        return queries @ keys.mT


class GeneralAttention(DotAttention):
    """score(s, h) = s · W h (Luong 2015, equation 8)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_key = nn.Linear(dim, dim, bias=False)

    def keys(self, states: Float[Tensor, "batch key_len dim"]) -> Float[Tensor, "batch key_len dim"]:
        """W h, which no query changes."""
        return self.of_key(states)
