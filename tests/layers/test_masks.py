import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atonce.layers.masks import attendable, mean_of_real, nearby, padding_mask, window_mask


def test_what_is_real_comes_first() -> None:
    mask = padding_mask(torch.tensor([2, 0, 3]), 4)
    assert mask.tolist() == [
        [True, True, False, False],
        [False, False, False, False],
        [True, True, True, False],
    ]


lengths = st.integers(1, 7).flatmap(lambda keys: st.tuples(st.integers(1, keys), st.just(keys)))


def may_look(query: int, key: int, window: float, causal: bool) -> bool:
    return abs(query - key) <= window and (key <= query or not causal)


@given(lengths, st.integers(0, 8) | st.none(), st.booleans())
def test_a_query_sees_what_is_near_and_there_is_no_mask_that_hides_nothing(
    shape: tuple[int, int], window: int | None, causal: bool
) -> None:
    query_len, key_len = shape
    mask = window_mask(query_len, key_len, window, causal=causal)
    reach = float("inf") if window is None else window
    places = [(query, key) for query in range(key_len - query_len, key_len) for key in range(key_len)]
    near = [may_look(*place, reach, causal) for place in places]
    if mask is None:
        assert near == [may_look(*place, float("inf"), causal) for place in places]
    else:
        assert mask.shape == (1, query_len, key_len)
        assert mask.flatten().tolist() == near
        assert near != [may_look(*place, float("inf"), causal) for place in places]


def test_stepping_sees_the_rows_of_the_whole() -> None:
    whole = window_mask(5, 5, 2, causal=True)
    assert whole is not None
    for position in range(5):
        row = window_mask(1, position + 1, 2, causal=True)
        seen = torch.ones(1, 1, position + 1, dtype=torch.bool) if row is None else row
        assert torch.equal(seen[0, 0], whole[0, position, : position + 1])
        assert not whole[0, position, position + 1 :].any()


def test_padding_has_no_part_in_the_mean() -> None:
    states = torch.arange(12, dtype=torch.float64).view(2, 3, 2)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.stack([states[0, :2].mean(0), states[1].mean(0)])
    assert torch.equal(mean_of_real(states, mask), expected)
    states[0, 2] = 1e6
    assert torch.equal(mean_of_real(states, mask), expected)


def test_no_mask_where_nothing_is_padding() -> None:
    assert attendable(torch.ones(2, 3, dtype=torch.bool)) is None
    mask = torch.tensor([[True, True], [True, False]])
    assert torch.equal(attendable(mask), mask[:, None])


@pytest.mark.parametrize("window", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("lengths", [(4, 4), (4, 2)])
def test_a_position_may_look_at_what_is_real_and_near(window: int | None, lengths: tuple[int, int]) -> None:
    mask = torch.tensor([[position < length for position in range(4)] for length in lengths])
    seen = nearby(mask, window)
    expected = [
        [[key < length and (window is None or abs(query - key) <= window) for key in range(4)]
         for query in range(4)]
        for length in lengths
    ]  # fmt: skip
    if seen is None:
        assert torch.tensor(expected).all()
    else:
        assert seen.expand(2, 4, 4).tolist() == expected
