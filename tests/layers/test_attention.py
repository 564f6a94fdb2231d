import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from atonce.layers.attention import (
    AdditiveAttention,
    DotAttention,
    GeneralAttention,
    MultiHeadAttention,
    StateAttention,
    dropping,
    masked_softmax,
    observing,
)
from atonce.layers.positions import rotated, sinusoids
from atonce.layers.precision import has_bfloat16_hardware, products

BATCH, QUERIES, KEYS, DIM, HEADS = 3, 5, 5, 8, 2
PADDING = torch.tensor([[True] * 5, [True, True, False, False, False], [True] * 4 + [False]])
BLIND = PADDING & torch.tensor([[True], [False], [True]])
"""The second sentence's queries see nothing."""

LOOKS: dict[str, tuple[Tensor | None, bool]] = {
    "everywhere": (None, False),
    "at what is real": (PADDING[:, None], False),
    "back": (None, True),
    "somewhere each": (PADDING[:, None] & torch.eye(5, dtype=torch.bool).logical_not(), False),
    "nowhere": (BLIND[:, None], False),
}
every_look = pytest.mark.parametrize(("mask", "causal"), LOOKS.values(), ids=LOOKS)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


SHARED: dict[str, int | None] = {"a key for each head": None, "one key for two heads": 1}
every_share = pytest.mark.parametrize("key_value_heads", SHARED.values(), ids=SHARED)


def multi_head(
    dtype: torch.dtype = torch.float64, *, heads: int = HEADS, key_value_heads: int | None = None
) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(DIM, heads, role="cross", key_value_heads=key_value_heads).to(dtype)


def run(
    layer: nn.Module, forward: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """What a layer makes of queries and states, and the gradients of both and of its weights."""
    queries, states = (drawn(BATCH, QUERIES, DIM, seed=seed, dtype=dtype).requires_grad_() for seed in (1, 2))
    layer.zero_grad()
    output = forward(queries, states)
    (output * drawn(*output.shape, seed=3, dtype=dtype)).sum().backward()
    weights = [weight.grad for weight in layer.parameters()]
    assert queries.grad is not None
    assert states.grad is not None
    return [output, queries.grad, states.grad, *(grad for grad in weights if grad is not None)]


def seen_weights(forward: Callable[[], object]) -> Tensor:
    """The weights of the one attention layer that runs."""
    seen: list[Tensor] = []
    with observing(lambda _, weights: seen.append(weights)):
        forward()
    (weights,) = seen
    return weights


scores_and_masks = st.tuples(st.integers(1, 4), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(
        arrays.arrays("float64", shape, elements=st.floats(-1e300, 1e300)),
        arrays.arrays("bool", shape),
    )
)


@given(scores_and_masks)
def test_weights_sum_to_one_over_what_may_be_seen_and_are_zero_elsewhere(case: tuple) -> None:
    scores, mask = map(torch.from_numpy, case)
    weights = masked_softmax(scores, mask)
    assert (weights >= 0).all()
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), mask.any(-1).double())


def test_a_query_that_sees_nothing_learns_nothing_and_harms_nothing() -> None:
    scores = drawn(2, 3).requires_grad_()
    mask = torch.tensor([[True, True, False], [False] * 3])
    masked_softmax(scores, mask).square().sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[0, :2].all()
    assert not scores.grad[1].any()


@every_look
@every_share
def test_what_is_shown_is_a_share_of_what_may_be_seen(
    mask: Tensor | None, causal: bool, key_value_heads: int | None
) -> None:
    layer, queries = multi_head(key_value_heads=key_value_heads), drawn(BATCH, QUERIES, DIM)
    weights = seen_weights(lambda: layer(queries, layer.project(queries), mask, causal=causal))
    may_look = torch.ones(BATCH, QUERIES, KEYS, dtype=torch.bool) if mask is None else mask
    may_look = (may_look.tril() if causal else may_look).expand(BATCH, QUERIES, KEYS)
    assert weights.shape == (BATCH, HEADS, QUERIES, KEYS)
    for head in weights.unbind(1):
        assert (head[~may_look] == 0).all()
        torch.testing.assert_close(head.sum(-1), may_look.any(-1).double())


@every_look
@every_share
@pytest.mark.parametrize("turned", [False, True], ids=["as they are", "turned"])
def test_watching_changes_no_value_and_no_gradient(
    mask: Tensor | None, causal: bool, key_value_heads: int | None, turned: bool
) -> None:
    layer = multi_head(key_value_heads=key_value_heads)
    rotation = sinusoids(KEYS, DIM // HEADS, dtype=torch.float64) if turned else None

    def forward(queries: Tensor, states: Tensor) -> Tensor:
        seen = layer.project(states, rotation)
        return layer(queries, seen, mask, causal=causal, rotation=rotation)

    fused = run(layer, forward)
    with observing(lambda *_: None):
        in_the_open = run(layer, forward)
    for one, other in zip(in_the_open, fused, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.skipif(
    not has_bfloat16_hardware(torch.device("cpu")), reason="this CPU does not multiply bfloat16"
)
@every_look
@every_share
def test_reduced_products_give_the_same_but_for_rounding(
    mask: Tensor | None, causal: bool, key_value_heads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = multi_head(torch.float32, key_value_heads=key_value_heads)

    def forward(queries: Tensor, states: Tensor) -> Tensor:
        return layer(queries, layer.project(states), mask, causal=causal)

    exact = run(layer, forward, torch.float32)
    monkeypatch.setattr(F, "scaled_dot_product_attention", None)  # it would make products one by one
    with products("bfloat16", torch.device("cpu")):
        reduced = run(layer, forward, torch.float32)
    for one, other in zip(reduced, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def reference(layer: MultiHeadAttention) -> nn.MultiheadAttention:
    """The library's layer with the same weights."""
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        parts = (layer.query, layer.key, layer.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(layer.output.weight)
        theirs.out_proj.bias.copy_(layer.output.bias)
    return theirs


@pytest.mark.parametrize("look", ["everywhere", "at what is real", "back", "somewhere each"])
def test_several_heads_are_those_of_torch(look: str) -> None:
    mask, causal = LOOKS[look]
    layer = multi_head()
    theirs = reference(layer)
    may_look = torch.ones(BATCH, QUERIES, KEYS, dtype=torch.bool) if mask is None else mask
    may_look = (may_look.tril() if causal else may_look).expand(BATCH, QUERIES, KEYS)
    hidden = (~may_look).repeat_interleave(HEADS, 0)  # torch marks what may not be seen, head by head
    shown: list[Tensor] = []

    def forward(queries: Tensor, states: Tensor) -> Tensor:
        output, weights = theirs(queries, states, states, attn_mask=hidden, average_attn_weights=False)
        shown.append(weights)
        return output

    output, of_queries, of_states, *of_weights = run(
        layer, lambda queries, states: layer(queries, layer.project(states), mask, causal=causal)
    )
    expected = run(theirs, forward)
    torch.testing.assert_close([output, of_queries, of_states], expected[:3])
    of_input, of_input_bias, of_output, of_output_bias = expected[3:]
    torch.testing.assert_close(torch.cat(of_weights[0:6:2]), of_input)
    torch.testing.assert_close(torch.cat(of_weights[1:6:2]), of_input_bias)
    torch.testing.assert_close(of_weights[6:], [of_output, of_output_bias])

    queries, states = (drawn(BATCH, QUERIES, DIM, seed=seed) for seed in (1, 2))
    weights = seen_weights(lambda: layer(queries, layer.project(states), mask, causal=causal))
    torch.testing.assert_close(weights, shown[0])


@every_look
@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
def test_shared_keys_and_values_are_those_of_torch(
    mask: Tensor | None, causal: bool, key_value_heads: int
) -> None:
    layer = multi_head(heads=4, key_value_heads=key_value_heads)

    def by_torch(queries: Tensor, states: Tensor) -> Tensor:
        query, key, value = (
            part(given).view(BATCH, 5, -1, DIM // 4).transpose(1, 2)
            for part, given in ((layer.query, queries), (layer.key, states), (layer.value, states))
        )
        heads_mask = None if mask is None else mask[:, None]
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=heads_mask, is_causal=causal, enable_gqa=True
        )
        return layer.output(mixed.transpose(1, 2).reshape(queries.shape))

    ours = run(layer, lambda queries, states: layer(queries, layer.project(states), mask, causal=causal))
    torch.testing.assert_close(ours, run(layer, by_torch))


def test_what_is_shared_is_kept_once() -> None:
    seen = multi_head(heads=4, key_value_heads=2).project(drawn(BATCH, KEYS, DIM))
    assert [part.shape for part in seen] == [(BATCH, 2, KEYS, DIM // 4)] * 2


def test_turned_queries_and_keys_know_how_far_apart_they_are_and_not_where() -> None:
    layer, states = multi_head(), drawn(BATCH, KEYS, DIM)

    def attended(query_start: int, key_start: int) -> Tensor:
        query_turn, key_turn = (
            sinusoids(KEYS, DIM // HEADS, start=start, dtype=torch.float64)
            for start in (query_start, key_start)
        )
        seen = layer.project(states, key_turn)
        return layer(states, seen, PADDING[:, None], rotation=query_turn)

    torch.testing.assert_close(attended(7, 7), attended(0, 0))
    torch.testing.assert_close(attended(12, 7), attended(5, 0))
    assert not torch.isclose(attended(5, 0), attended(0, 0)).all(-1).any()
    assert not torch.isclose(attended(0, 0), layer(states, layer.project(states), PADDING[:, None])).all()


def test_only_queries_and_keys_are_turned() -> None:
    layer, states = multi_head(), drawn(BATCH, KEYS, DIM)
    rotation = sinusoids(KEYS, DIM // HEADS, start=3, dtype=torch.float64)
    plain, turned = layer.project(states), layer.project(states, rotation)
    torch.testing.assert_close(turned.key, rotated(plain.key, rotation))
    assert torch.equal(turned.value, plain.value)


def state_attention(kind: type[StateAttention]) -> StateAttention:
    torch.manual_seed(0)
    return (kind() if kind is DotAttention else kind(DIM)).double()


def score(layer: StateAttention, query: Tensor, state: Tensor) -> Tensor:
    """As the papers write it, for one query and one state."""
    match layer:
        case AdditiveAttention():
            inner = layer.of_query.weight @ query + layer.of_key.weight @ state + layer.of_key.bias
            return layer.score.weight[0] @ inner.tanh()
        case GeneralAttention():
            return query @ (layer.of_key.weight @ state)
        case _:
            return query @ state


@pytest.mark.parametrize("kind", [AdditiveAttention, DotAttention, GeneralAttention])
def test_a_decoders_attention_is_that_of_its_paper(kind: type[StateAttention]) -> None:
    layer = state_attention(kind)

    def by_the_paper(queries: Tensor, states: Tensor) -> Tensor:
        rows = []
        for query, state, real in zip(queries, states, PADDING, strict=True):
            for one in query:
                scores = torch.stack([score(layer, one, key) for key in state[real]])
                rows.append(scores.softmax(0) @ state[real])
        return torch.stack(rows).view(queries.shape)

    ours = run(layer, lambda queries, states: layer(queries, layer.keys(states), states, PADDING))
    for one, other in zip(ours, run(layer, by_the_paper), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", [AdditiveAttention, DotAttention, GeneralAttention])
def test_a_decoders_attention_is_shown_as_one_head(kind: type[StateAttention]) -> None:
    layer, states = state_attention(kind), drawn(BATCH, KEYS, DIM)
    weights = seen_weights(lambda: layer(states[:, :2], layer.keys(states), states, BLIND))
    assert weights.shape == (BATCH, 1, 2, KEYS)
    torch.testing.assert_close(weights.sum(-1), BLIND.any(-1).double()[:, None, None].expand(BATCH, 1, 2))
    assert (weights.transpose(1, 3)[~BLIND] == 0).all()


def test_the_innermost_observer_sees_and_the_outer_one_sees_again_after_it() -> None:
    layer, states = multi_head(), drawn(BATCH, KEYS, DIM)
    calls: list[str] = []

    def look() -> None:
        layer(states, layer.project(states))

    with observing(lambda *_: calls.append("outer")):
        look()
        with suppress(RuntimeError), observing(lambda *_: calls.append("inner")):
            look()
            raise RuntimeError("the observer is taken away all the same")
        look()
        thread = threading.Thread(target=look)  # another thread is not watched
        thread.start()
        thread.join()
    look()
    assert calls == ["outer", "inner", "outer"]


@pytest.mark.parametrize("dropped", [{0}, {1}, {0, 1}])
def test_a_head_that_is_dropped_gives_nothing_to_the_output(dropped: set[int]) -> None:
    layer, states = multi_head(), drawn(BATCH, KEYS, DIM)
    seen = layer.project(states)
    whole: list[Tensor] = []
    with dropping({layer: dropped}), observing(lambda _, weights: whole.append(weights)):
        found = layer(states, seen, PADDING[:, None])
    with torch.no_grad():
        for head in dropped:
            layer.output.weight[:, head * DIM // HEADS : (head + 1) * DIM // HEADS] = 0
    torch.testing.assert_close(found, layer(states, seen, PADDING[:, None]))
    torch.testing.assert_close(
        whole[0], seen_weights(lambda: layer(states, seen, PADDING[:, None])), rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", [AdditiveAttention, DotAttention, GeneralAttention])
def test_the_one_head_of_a_decoders_attention_can_be_dropped(kind: type[StateAttention]) -> None:
    layer, states = state_attention(kind), drawn(BATCH, KEYS, DIM)
    with dropping({layer: {0}}):
        assert not layer(states[:, :2], layer.keys(states), states, PADDING).any()
    assert layer(states[:, :2], layer.keys(states), states, PADDING).any()
