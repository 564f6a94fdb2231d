import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from atonce.layers.positions import rotated, sinusoids
from compiling import kernels_or_skip

kernels_or_skip()

from atonce.layers.kernels.attention import mix, scores_for, turn  # noqa: E402
from atonce.layers.kernels.instructions import LANES  # noqa: E402
from atonce.layers.kernels.seen import room_for  # noqa: E402


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
        torch.zeros(shared, head_dim, room_for(used)),
        torch.zeros(shared, room_for(used), head_dim),
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
    turn(found, rotation[0].numpy())
    torch.testing.assert_close(torch.from_numpy(found), rotated(heads[None, :, None], rotation)[0, :, 0])
