"""Attention: look at every input that may be seen, and mix what is there by how well it matches.

Each layer here can be watched (`observing`): then it computes its weights in the open, hands them to the
observer, and keeps nothing. Unwatched, it uses the fastest kernel there is and the weights never exist. And
heads can be dropped (`dropping`), which is done in the open too.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
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

Heads = Mapping["Attention", Set[int]]
"""Heads of layers, counted from 0."""


class _Watch(NamedTuple):
    """What is asked of attention layers in a block of code."""

    observer: Observer | None = None
    dropped: Heads = MappingProxyType({})


# Not on the layers: what another thread computes with the same model meanwhile is not watched.
_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Within the block, call `observer(layer, weights)` whenever an attention layer of this thread runs."""
    with _watching((_watch.get() or _Watch())._replace(observer=observer)):
        yield


@contextmanager
def dropping(heads: Heads) -> Iterator[None]:
    """Within the block, these heads mix nothing in this thread: what they give is zero.

    Their weights are computed and shown to observers all the same. Blocks within one another add up.
    """
    before = _watch.get() or _Watch()
    both = {layer: before.dropped.get(layer, set()) | heads.get(layer, set()) for layer in before.dropped}
    with _watching(before._replace(dropped={**heads, **both})):
        yield


@contextmanager
def _watching(watch: _Watch) -> Iterator[None]:
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def is_watched() -> bool:
    """Whether somebody watches attention in this thread, or drops heads of it."""
    return _watch.get() is not None


class KeyValue(NamedTuple):
    """What is looked at, projected once: keys to compare with, values to mix."""

    key: Float[Tensor, "batch key_value_heads key_len head_dim"]
    value: Float[Tensor, "batch key_value_heads key_len head_dim"]


class Attention(nn.Module):
    """What all attention layers share: a role, and a way to be watched.

    `heads`: how many look side by side.
    """

    def __init__(self, role: Role, heads: int = 1) -> None:
        super().__init__()
        self.role: Role = role
        self.heads = heads

    def show(self, weights: Float[Tensor, "batch heads query_len key_len"]) -> None:
        """Hand `weights` to whoever watches."""
        if (watch := _watch.get()) and watch.observer:
            watch.observer(self, weights)

    def without_dropped(
        self, mixed: Float[Tensor, "batch heads query_len head_dim"]
    ) -> Float[Tensor, "batch heads query_len head_dim"]:
        """What each head mixed; zero where it is dropped."""
        watch = _watch.get()
        if watch is None or not (heads := watch.dropped.get(self)):
            return mixed
        # Behind the softmax: the other heads, and this one's weights, are what they were.
        return mixed.index_fill(1, torch.tensor(sorted(heads), device=mixed.device), 0.0)


def masked_softmax(
    scores: Float[Tensor, "*batch query_len key_len"], mask: Bool[Tensor, "*#batch query_len key_len"]
) -> Float[Tensor, "*batch query_len key_len"]:
    """Weights that sum to one over what may be seen and are exactly zero elsewhere.

    A query that may see nothing gets zeros, not NaN.
    """
    # A row of nothing but -inf becomes NaN here, of which the second mask makes zeros.
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)


class MultiHeadAttention(Attention):
    """Scaled dot-product attention by several heads side by side (Vaswani 2017, section 3.2, equation 1).

    Shapes: queries `(batch, query_len, dim)`, states to look at `(batch, key_len, dim)`. With fewer
    `key_value_heads` than `heads`, each serves a group of neighbouring heads (Ainslie 2023, section 2.2), and
    generation keeps so much less; 1 is multi-query attention (Shazeer 2019).
    """

    def __init__(self, dim: int, heads: int, *, role: Role, key_value_heads: int | None = None) -> None:
        super().__init__(role, heads)
        self.key_value_heads = key_value_heads or heads
        # A head is as wide as with a key of its own: sharing makes fewer keys, not wider ones.
        width = dim // heads * self.key_value_heads
        # Three layers, not one as in torch's `nn.MultiheadAttention`: keys and values of a source are made
        # once, and may be narrower than queries. Generation joins them (`layers.linear.fused`).
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
        # With reduced products the fused kernel converts each head's small product on its own: 38 ms against
        # 3 in the open, there and back, for 150 sentences of 13 tokens and 4 heads.
        if not is_watched() and not products_are_reduced(query.device):
            # The fused kernel keeps no weights, so there is nothing to show or to drop from.
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
        # By the root of the width, or wide heads begin where the softmax has next to no gradient (Vaswani
        # 2017, 3.2.1).
        scores = query @ seen.key.mT / math.sqrt(query.shape[-1])
        may_look = scores.new_ones(scores.shape[-2:], dtype=torch.bool) if mask is None else mask
        if causal:
            may_look = may_look.tril()
        weights = masked_softmax(scores, may_look.expand(scores.shape))
        self.show(weights)
        return self.without_dropped(weights @ seen.value)

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
        mixed = weights @ values
        if not is_watched():
            return mixed
        self.show(weights[:, None])
        return self.without_dropped(mixed[:, None])[:, 0]


class AdditiveAttention(StateAttention):
    """score(s, h) = v · tanh(W s + U h) (Bahdanau 2015, section 3.1 and appendix A.1.2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_query = nn.Linear(dim, dim, bias=False)
        # Alone with a bias: the two are added, and one is enough.
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
        # W stands with the keys, which are multiplied once for a sentence; with the queries, it would be at
        # each step.
        self.of_key = nn.Linear(dim, dim, bias=False)

    def keys(self, states: Float[Tensor, "batch key_len dim"]) -> Float[Tensor, "batch key_len dim"]:
        """W h, which no query changes."""
        return self.of_key(states)
