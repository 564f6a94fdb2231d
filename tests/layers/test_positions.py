import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from atonce.layers.positions import (
    LearnedPositions,
    PositionKind,
    RotaryPositions,
    SinusoidalPositions,
    build_positions,
    rotated,
    sinusoids,
)

DIM, HEADS = 8, 2
every_kind = pytest.mark.parametrize("kind", get_args(PositionKind))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positions(kind: PositionKind) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_positions(kind, DIM, HEADS).double()


@pytest.mark.parametrize("dim", [2, 8, 128])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_numbers_are_those_of_the_paper_in_another_order(
    dim: int, dtype: torch.dtype, error: float
) -> None:
    ours = sinusoids(40, dim, dtype=dtype)
    assert ours.dtype == dtype
    for position in (0, 1, 7, 39):
        for i in range(dim // 2):
            angle = position / 10_000 ** (2 * i / dim)
            assert ours[position, i].item() == pytest.approx(math.sin(angle), abs=error)
            assert ours[position, dim // 2 + i].item() == pytest.approx(math.cos(angle), abs=error)


def test_a_later_start_gives_the_later_rows() -> None:
    assert torch.equal(sinusoids(3, 8, start=5), sinusoids(8, 8)[5:])


def test_no_two_positions_are_alike() -> None:
    rows = sinusoids(2000, 8)
    distances = torch.cdist(rows, rows) + torch.eye(2000)
    assert distances.min() > 1e-3


def test_a_rotation_turns_each_pair_by_position_times_rate() -> None:
    """As numbers of the complex plane, multiplied by exp(i m θ) (Su 2021, section 3.2.1)."""
    states = drawn(2, 3, 5, DIM)
    ours = rotated(states, sinusoids(5, DIM, start=4, dtype=torch.float64))
    pairs = torch.complex(*states.chunk(2, dim=-1))
    rates = torch.tensor([10_000 ** (-2 * i / DIM) for i in range(DIM // 2)], dtype=torch.float64)
    angles = torch.arange(4, 9, dtype=torch.float64)[:, None] * rates
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(ours, torch.cat([turned.real, turned.imag], dim=-1))
    torch.testing.assert_close(ours.norm(dim=-1), states.norm(dim=-1))


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_only_the_distance_of_query_and_key_matters(query_at: int, key_at: int, shift: int) -> None:
    query, key = drawn(1, 1, 1, DIM), drawn(1, 1, 1, DIM, seed=1)

    def score(query_at: int, key_at: int) -> Tensor:
        turn_query, turn_key = (
            sinusoids(1, DIM, start=start, dtype=torch.float64) for start in (query_at, key_at)
        )
        return (rotated(query, turn_query) * rotated(key, turn_key)).sum()

    torch.testing.assert_close(score(query_at + shift, key_at + shift), score(query_at, key_at))
    assert not torch.isclose(score(query_at, key_at), score(query_at, key_at + 1))


def test_a_rotation_keeps_the_precision_of_what_it_turns() -> None:
    states = drawn(1, 2, 3, DIM).bfloat16()
    turned = rotated(states, sinusoids(3, DIM))
    assert turned.dtype == torch.bfloat16
    exact = rotated(states.double(), sinusoids(3, DIM, dtype=torch.float64))
    torch.testing.assert_close(turned, exact.bfloat16(), rtol=0.02, atol=0.02)


def test_sinusoids_are_added() -> None:
    embedded = drawn(2, 3, DIM)
    states, rotation = SinusoidalPositions()(embedded, start=4)
    torch.testing.assert_close(states, embedded + sinusoids(3, DIM, start=4, dtype=torch.float64))
    assert rotation is None


def test_rows_of_a_table_are_added_and_learned() -> None:
    embedded, layer = drawn(2, 3, DIM), LearnedPositions(DIM, longest=6).double()
    states, rotation = layer(embedded, start=2)
    torch.testing.assert_close(states, embedded + layer.weight[2:5] * math.sqrt(DIM))
    assert rotation is None
    states.sum().backward()
    assert layer.weight.grad.any(-1).tolist() == [False, False, True, True, True, False]


def test_learned_positions_are_of_about_the_size_of_embeddings() -> None:
    torch.manual_seed(0)
    layer = LearnedPositions(64)
    added = layer(torch.zeros(1, 1024, 64)).states
    assert added.std().item() == pytest.approx(1.0, abs=0.02)


def test_beyond_a_table_all_positions_are_its_last() -> None:
    layer = LearnedPositions(DIM, longest=3)
    added = layer(torch.zeros(1, 6, DIM)).states[0]
    assert torch.equal(added[2:], added[2].expand(4, -1))
    assert not torch.isclose(added[1], added[2]).all()
    assert torch.equal(layer(torch.zeros(1, 2, DIM), start=1000).states[0], added[4:])


def test_a_rotation_is_for_the_width_of_a_head_and_changes_no_state() -> None:
    embedded = drawn(2, 3, DIM)
    states, rotation = RotaryPositions(DIM // HEADS)(embedded, start=4)
    assert states is embedded
    torch.testing.assert_close(rotation, sinusoids(3, DIM // HEADS, start=4, dtype=torch.float64))


@every_kind
def test_one_after_another_stands_where_all_at_once_do(kind: PositionKind) -> None:
    layer, embedded = positions(kind), drawn(2, 5, DIM)
    whole = layer(embedded)
    for place in range(5):
        one = layer(embedded[:, place : place + 1], start=place)
        torch.testing.assert_close(one.states[:, 0], whole.states[:, place])
        if whole.rotation is not None:
            torch.testing.assert_close(one.rotation[0], whole.rotation[place])


@every_kind
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_states_keep_their_precision_and_angles_are_exact(kind: PositionKind, dtype: torch.dtype) -> None:
    states, rotation = positions(kind).to(dtype)(torch.zeros(2, 3, DIM, dtype=dtype))
    assert states.dtype == dtype
    assert rotation is None or rotation.dtype == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize("kind", ["sinusoidal", "rotary"])
def test_far_positions_keep_apart_in_low_precision(kind: PositionKind) -> None:
    far = positions(kind).bfloat16()(torch.zeros(1, 2, DIM, dtype=torch.bfloat16), start=256)
    one, next_one = far.states[0] if far.rotation is None else far.rotation
    assert (one - next_one).abs().max() > 0.5
