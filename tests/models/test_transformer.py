import pytest
import torch

from atonce.models.transformer import attendable, placed
from zoo import BOS, SOURCES, config_of, model_of, padded


def test_no_mask_where_nothing_is_padding() -> None:
    assert attendable(torch.ones(2, 3, dtype=torch.bool)) is None
    mask = torch.tensor([[True, True], [True, False]])
    assert torch.equal(attendable(mask), mask[:, None])


def test_a_position_is_added_in_the_embeddings_precision() -> None:
    embedded = torch.zeros(2, 3, 8, dtype=torch.float64)
    assert placed(embedded).dtype == torch.float64
    torch.testing.assert_close(placed(embedded, start=2)[:, 0], placed(embedded)[:, 2])
    assert not torch.isclose(placed(embedded)[0, 0], placed(embedded)[0, 1]).all()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_each_position_sees_both_sides_and_where_it_stands(norm: str) -> None:
    model = model_of(config_of(norm, "gru_none"))
    first, swapped, last_changed = (
        model.encode(*padded([source])).states[0] for source in ([5, 3, 8], [3, 5, 8], [5, 3, 9])
    )
    assert not torch.isclose(first, last_changed).all(-1).any()
    assert not torch.allclose(first[[1, 0, 2]], swapped)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_all_positions_are_read_at_once_and_a_step_reads_one(norm: str) -> None:
    model = model_of(config_of("bigru", norm))
    lengths = []
    hook = model.decoder.blocks[0].feed_forward.register_forward_hook(
        lambda _, inputs, __: lengths.append(inputs[0].shape[1])
    )
    with hook, torch.no_grad():
        model(*padded(SOURCES), torch.full((3, 4), BOS))
        state = model.decoder.start(model.encode(*padded(SOURCES)))
        for _ in range(3):
            _, state = model.decoder.step(torch.full((3,), BOS), state)
    assert lengths == [4, 1, 1, 1]
    assert [part.key.shape[2] for part in state.past] == [3, 3]
