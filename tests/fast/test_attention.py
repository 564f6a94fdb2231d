import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from atonce.layers.positions import rotated, sinusoids
from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast.attention import (  # noqa: E402
    Past,
    compacted,
    empty_cache,
    mix,
    rotate,
    round_up,
    scores_for,
    texts_of,
)
from atonce.fast.instructions import LANES  # noqa: E402
from atonce.fast.weights import LayerSpec  # noqa: E402

SPEC = LayerSpec(
    dim=12, heads=3, key_value_heads=3, head_dim=4, hidden=8, activation=0, pre=1, rms=0, window=-1
)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2)))
def test_real_positions_are_where_the_mask_is_true(mask: np.ndarray) -> None:
    texts = texts_of(mask)
    for sentence, real in enumerate(mask):
        assert texts.slots[sentence, : texts.counts[sentence]].tolist() == real.nonzero()[0].tolist()


@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 4), st.integers(0, 6), st.integers(1, 5))
def test_what_no_row_sees_any_more_is_given_up(
    seed: int, sentences: int, each: int, positions: int, more: int
) -> None:
    draw, used = np.random.default_rng(seed), 20
    seen = empty_cache(SPEC, sentences + 2, 2, used)
    for part in seen:
        part[:] = draw.normal(size=part.shape)
    slots = np.stack([np.sort(draw.choice(used, positions, replace=False)) for _ in range(sentences * each)])
    which = draw.permutation(sentences + 2)[:sentences].astype(np.int32)
    past = compacted(SPEC, Past(seen, slots.astype(np.int32), used), which, more)
    rows_of = np.split(slots, sentences)
    assert past.used == max(len({*rows.flatten().tolist()}) for rows in rows_of)
    assert past.seen.values.shape[3] >= past.used + more
    for row, (before, now) in enumerate(zip(slots, past.slots, strict=True)):
        sentence = which[row // each]
        assert np.array_equal(past.seen.keys[sentence][..., now], seen.keys[sentence][..., before])
        assert np.array_equal(past.seen.values[sentence][:, :, now], seen.values[sentence][:, :, before])
        assert (np.diff(now) > 0).all()
    assert not past.seen.keys[..., past.used :].any()
    assert not past.seen.values[:, :, :, past.used :].any()


@given(
    seed=st.integers(0, 1000),
    shared=st.integers(1, 3),
    group=st.integers(1, 3),
    head_dim=st.sampled_from([1, 4, LANES, 20]),
    used=st.integers(1, 2 * LANES + 1),
    data=st.data(),
)
def test_it_is_scaled_dot_product_attention_to_what_may_be_seen(
    seed: int, shared: int, group: int, head_dim: int, used: int, data: st.DataObject
) -> None:
    slots = data.draw(st.lists(st.integers(0, used - 1), min_size=1, unique=True))
    torch.manual_seed(seed)
    query = torch.randn(shared * group, head_dim)
    keys, values = (
        torch.zeros(shared, head_dim, round_up(used)),
        torch.zeros(shared, round_up(used), head_dim),
    )
    keys[:, :, :used], values[:, :used] = (
        torch.randn(shared, head_dim, used),
        torch.randn(shared, used, head_dim),
    )
    expected = F.scaled_dot_product_attention(
        query[:, None],
        keys[:, :, slots].mT.repeat_interleave(group, dim=0),
        values[:, slots, :head_dim].repeat_interleave(group, dim=0),
    )[:, 0]
    found = np.empty(query.shape, np.float32)
    mix(
        query.numpy(),
        keys.numpy(),
        values.numpy(),
        np.array(slots, np.int32),
        used,
        scores_for(used, head_dim),
        found,
    )
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("position", [0, 1, 7])
def test_heads_are_turned_as_by_rotary_positions(position: int) -> None:
    torch.manual_seed(0)
    heads, rotation = torch.randn(3, 8), sinusoids(1, 8, start=position)
    found = heads.numpy().copy()
    rotate(found, rotation[0].numpy())
    torch.testing.assert_close(torch.from_numpy(found), rotated(heads[None, :, None], rotation)[0, :, 0])
