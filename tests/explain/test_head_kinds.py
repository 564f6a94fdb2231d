import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.tokenizer import Tokenizer
from atonce.explain.head_kinds import MOSTLY, entropy, head_kind, head_kinds
from atonce.explain.text_heatmap import attention_of
from atonce.layers.attention import Role
from zoo import config_of, translator_of

LENGTH = 8
EVEN = np.full((LENGTH, LENGTH), 1 / LENGTH)
CAUSAL = np.tri(LENGTH) / np.tri(LENGTH).sum(1, keepdims=True)
ROLES: tuple[Role, ...] = ("encoder-self", "decoder-self", "cross")


def looking(offset: int) -> np.ndarray:
    """All at the key so far away; at the nearest there is where there is none."""
    weights = np.zeros((LENGTH, LENGTH))
    for query in range(LENGTH):
        weights[query, min(max(query + offset, 0), LENGTH - 1)] = 1
    return weights


def at(key: int, queries: int = LENGTH, keys: int = LENGTH) -> np.ndarray:
    weights = np.zeros((queries, keys))
    weights[:, key] = 1
    return weights


@pytest.mark.parametrize(
    ("weights", "role", "label"),
    [
        (looking(0), "encoder-self", "diagonal"),
        (looking(-1), "encoder-self", "previous"),
        (looking(1), "encoder-self", "next"),
        (at(-1), "encoder-self", "end of sentence"),
        (at(0), "encoder-self", "mixed"),
        (looking(2), "encoder-self", "mixed"),
        (EVEN, "encoder-self", "mixed"),
        (looking(0), "decoder-self", "diagonal"),
        (looking(-1), "decoder-self", "previous"),
        (at(0), "decoder-self", "beginning of sentence"),
        (looking(-2), "decoder-self", "mixed"),
        (CAUSAL, "decoder-self", "mixed"),
        (looking(0), "cross", "diagonal"),
        (looking(1), "cross", "diagonal"),
        (looking(2), "cross", "mixed"),
        (at(-1), "cross", "end of sentence"),
        (at(0), "cross", "mixed"),
        (EVEN, "cross", "mixed"),
    ],
)
def test_a_head_is_called_by_what_it_looks_at(weights: np.ndarray, role: Role, label: str) -> None:
    assert head_kind(weights, role).label == label


@pytest.mark.parametrize(("queries", "keys"), [(4, 12), (12, 4), (5, 7)])
def test_a_diagonal_across_lengths_is_what_is_as_far_along(queries: int, keys: int) -> None:
    weights = np.zeros((queries, keys))
    for query in range(queries):
        weights[query, query * keys // queries] = 1
    found = head_kind(weights, "cross")
    assert (found.label, found.weight) == ("diagonal", 1)


@pytest.mark.parametrize(("role", "aim"), [("encoder-self", looking(1)), ("cross", looking(0))])
def test_from_half_of_the_weight_on_a_head_has_a_name(role: Role, aim: np.ndarray) -> None:
    elsewhere = at(0)
    for share in (0.4, 0.499, 0.501, 0.9):
        found = head_kind(share * aim + (1 - share) * (looking(4) if role == "cross" else elsewhere), role)
        assert (found.label != "mixed") == (found.weight >= MOSTLY)
        stricter = head_kind(aim * share + (1 - share) * elsewhere, role, mostly=0.95)
        assert stricter.label == "mixed"


def test_who_has_no_neighbour_does_not_count_for_it() -> None:
    """The first query has none before it, wherever it looks."""
    weights = looking(-1)
    weights[0] = at(-1)[0]
    assert head_kind(weights, "encoder-self").weight == 1


def test_who_has_no_choice_does_not_count() -> None:
    """A decoder's first query can but look at itself."""
    assert head_kind(looking(-1), "decoder-self").weight == 1
    two = np.array([[1.0, 0.0], [0.7, 0.3]])
    found = head_kind(two, "decoder-self")
    assert found.label == "previous"
    assert found.weight == pytest.approx(0.7)


@pytest.mark.parametrize("role", ROLES)
def test_one_key_is_no_choice(role: Role) -> None:
    found = head_kind(np.ones((1, 1)), role)
    assert (found.entropy, found.share, found.weight) == (0, 0, 1)


def test_entropy_is_in_bits() -> None:
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0.5, 0.25, 0.25, 0]])
    np.testing.assert_allclose(entropy(rows), [0, 1, 2, 1.5])
    assert head_kind(EVEN, "cross").entropy == pytest.approx(3)
    assert head_kind(EVEN, "cross").share == pytest.approx(1)
    assert head_kind(CAUSAL, "decoder-self").share == pytest.approx(1)
    assert head_kind(CAUSAL, "decoder-self").entropy == pytest.approx(np.log2(np.arange(1, 9)).mean())
    assert head_kind(at(3), "encoder-self").share == 0


@given(st.data(), st.sampled_from(ROLES), st.integers(1, 6), st.integers(1, 6))
def test_shares_are_shares(data: st.DataObject, role: Role, queries: int, keys: int) -> None:
    if role != "cross":
        keys = queries
    drawn = data.draw(
        st.lists(
            st.lists(st.floats(0.001, 1), min_size=keys, max_size=keys), min_size=queries, max_size=queries
        )
    )
    weights = np.array(drawn) * (np.tri(queries) if role == "decoder-self" else 1)
    weights /= weights.sum(1, keepdims=True)
    found = head_kind(weights, role)
    assert -1e-9 <= found.share <= 1 + 1e-9
    assert -1e-9 <= found.weight <= 1 + 1e-9
    assert 0 <= found.entropy <= np.log2(keys) + 1e-9
    assert (found.label == "mixed") == (found.weight < MOSTLY)
    assert head_kind(weights.astype(np.float32), role).share == pytest.approx(found.share, abs=1e-5)


def test_every_head_of_a_model_has_a_kind(dates_tokenizer: Tokenizer) -> None:
    translator = translator_of(dates_tokenizer, config_of("pre", "pre"))
    attention = attention_of(translator, "10. Januar 2024", "2024-01-10")
    found = head_kinds(attention.record)
    assert list(found) == list(attention.record)
    assert all(len(kinds) == 2 for kinds in found.values())
    for name, layer in attention.record.items():
        weights = layer.weights[0].float().numpy()
        assert found[name] == tuple(head_kind(one, layer.role) for one in weights)
    kinds = {name: [kind.to_dict() for kind in kinds] for name, kinds in found.items()}
    assert json.loads(json.dumps(kinds, allow_nan=False)) == kinds
