import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from compiling import kernels_or_skip

kernels_or_skip()

from atonce.layers.kernels.instructions import LANES  # noqa: E402
from atonce.layers.kernels.packed import Form  # noqa: E402
from atonce.layers.kernels.seen import nothing_seen, texts_of, with_room  # noqa: E402

FORM = Form(dim=12, heads=3, key_value_heads=3, head_dim=4, hidden=8, activation=0, pre=1, rms=0, window=-1)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2)))
def test_real_positions_are_where_the_mask_is_true(mask: np.ndarray) -> None:
    texts = texts_of(mask)
    for sentence, real in enumerate(mask):
        assert texts.slots[sentence, : texts.counts[sentence]].tolist() == real.nonzero()[0].tolist()


@given(st.integers(0, 40), st.integers(1, 80))
def test_more_room_holds_what_was_there(longest: int, needed: int) -> None:
    seen = nothing_seen(FORM, 2, 3, longest)
    room = seen.values.shape[3]
    assert longest <= room < longest + LANES
    assert not seen.keys.any()
    assert not seen.values.any()
    draw = np.random.default_rng(0)
    for part in seen:
        part[:] = draw.normal(size=part.shape)
    more = with_room(FORM, seen, needed)
    assert more.values.shape[3] >= needed
    assert np.array_equal(more.keys[..., :room], seen.keys)
    assert np.array_equal(more.values[:, :, :, :room], seen.values)
    assert not more.keys[..., room:].any()
    assert not more.values[:, :, :, room:].any()
