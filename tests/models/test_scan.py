import pytest
import torch
from torch import Tensor

from atonce.explain.record import recorded_attention
from atonce.models.scan import ScanDecoder
from zoo import BOS, EOS, SOURCES, config_of, model_of, padded

ENCODERS = ("mingru", "minlstm")
DECODERS = ("mingru", "minlstm", "ssru")


def sizes(state: object) -> list[int]:
    """How many numbers each tensor of a decoder's state has."""
    if isinstance(state, Tensor):
        return [state.numel()]
    return [size for part in state for size in sizes(part)]


@pytest.mark.parametrize("cell", DECODERS)
def test_a_decoders_state_does_not_grow(cell: str) -> None:
    model = model_of(config_of("bigru", cell))
    memory = model.encode(*padded(SOURCES))
    state = model.decoder.start(memory)
    first = sizes(state)
    for _ in range(20):
        _, state = model.decoder.step(torch.full((3,), 5), state)
        assert sizes(state) == first
    keys_and_values = 2 * memory.states.numel()
    assert sum(first) == 2 * (memory.pooled.numel() + keys_and_values) + memory.mask.numel()


@pytest.mark.parametrize("cell", DECODERS)
def test_all_positions_are_read_at_once_and_a_step_reads_one(cell: str) -> None:
    model = model_of(config_of("bigru", cell))
    assert isinstance(model.decoder, ScanDecoder)
    lengths = []
    hook = model.decoder.layers[0].feed_forward.register_forward_hook(
        lambda _, inputs, __: lengths.append(inputs[0].shape[1])
    )
    with hook, torch.no_grad():
        model(*padded(SOURCES), torch.full((3, 4), BOS))
        state = model.decoder.start(model.encode(*padded(SOURCES)))
        for _ in range(3):
            _, state = model.decoder.step(torch.full((3,), BOS), state)
    assert lengths == [4, 1, 1, 1]


@pytest.mark.parametrize("cell", DECODERS)
def test_the_attention_to_the_source_can_be_recorded(cell: str) -> None:
    model = model_of(config_of("mingru", cell))
    with recorded_attention(model) as record, torch.no_grad():
        model(*padded(SOURCES), torch.full((3, 4), BOS))
    assert list(record) == ["decoder.layers.0.cross_attention", "decoder.layers.1.cross_attention"]
    assert {layer.role for layer in record.values()} == {"cross"}


@pytest.mark.parametrize("cell", ENCODERS)
def test_both_directions_see_both_sides_and_one_sees_the_left(cell: str) -> None:
    source = padded([[5, 3, 8, EOS]])
    other = padded([[5, 3, 9, EOS]])
    for both in (False, True):
        model = model_of(config_of("bi" * both + cell, "gru_none"))
        same = torch.isclose(model.encode(*source).states, model.encode(*other).states).all(-1)[0]
        assert same.tolist() == [not both, not both, False, False]


@pytest.mark.parametrize("cell", ENCODERS)
def test_the_order_of_words_matters_though_no_positions_are_added(cell: str) -> None:
    model = model_of(config_of(cell, "gru_none"))
    one, other = (model.encode(*padded([source])) for source in ([5, 3, 8], [3, 5, 8]))
    assert not torch.isclose(one.states, other.states).all(-1).any()
    assert not torch.allclose(one.pooled, other.pooled)


@pytest.mark.parametrize("cell", ENCODERS)
def test_the_summary_is_the_mean_of_the_real_states(cell: str) -> None:
    memory = model_of(config_of(f"bi{cell}", "gru_none")).encode(*padded(SOURCES, length=9))
    means = [states[: len(source)].mean(0) for states, source in zip(memory.states, SOURCES, strict=True)]
    torch.testing.assert_close(memory.pooled, torch.stack(means))
