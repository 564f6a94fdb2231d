import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from compiling import kernels_or_skip

kernels_or_skip()

from atonce.layers.kernels.packed import Form  # noqa: E402
from atonce.layers.kernels.seen import Past, compacted, nothing_seen, texts_of  # noqa: E402

FORM = Form(dim=12, heads=3, key_value_heads=3, head_dim=4, hidden=8, activation=0, pre=1, rms=0, window=-1)


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
    seen = nothing_seen(FORM, sentences + 2, 2, used)
    for part in seen:
        part[:] = draw.normal(size=part.shape)
    slots = np.stack([np.sort(draw.choice(used, positions, replace=False)) for _ in range(sentences * each)])
    which = draw.permutation(sentences + 2)[:sentences].astype(np.int32)
    past = compacted(FORM, Past(seen, slots.astype(np.int32), used), which, more)
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
