import pytest
import torch

from atonce.models.feedforward import FeedForwardEncoder
from zoo import DIM, SOURCES, config_of, model_of, padded


def test_a_position_knows_neither_its_neighbours_nor_its_place() -> None:
    model = model_of(config_of("feedforward", "gru_none"))
    states, other = (model.encode(*padded([source])).states[0] for source in ([5, 3, 8, 5], [8, 3, 5, 9]))
    assert torch.equal(states[0], states[3])
    torch.testing.assert_close(states[[2, 1, 0]], other[:3])
    assert not torch.isclose(states[3], other[3]).all()


def test_the_summary_is_a_bag_of_words() -> None:
    model = model_of(config_of("feedforward", "gru_none"))
    pooled, shuffled, other = (
        model.encode(*padded([source])).pooled for source in ([5, 3, 8], [8, 5, 3], [5, 3, 9])
    )
    torch.testing.assert_close(pooled, shuffled)
    assert not torch.isclose(pooled, other).all()


def test_layers_give_the_states_of_all_positions() -> None:
    model = model_of(config_of("feedforward", "gru_none"))
    source, mask = padded(SOURCES)
    states, _ = model.source.read(source, mask)
    for layer in model.encoder.layers:
        states = layer(states)
        assert states.shape == (*source.shape, DIM)
    torch.testing.assert_close(model.encoder.final_norm(states), model.encode(source, mask).states)


@pytest.mark.parametrize("training", [False, True])
def test_without_layers_the_states_are_the_embeddings(training: bool) -> None:
    encoder = FeedForwardEncoder(DIM, layers=0, feed_forward=12, activation="relu", dropout=0.0)
    embedded, mask = torch.randn(3, 6, DIM), padded(SOURCES)[1]
    memory = encoder.train(training)(embedded, mask)
    assert torch.equal(memory.states, embedded)
    for row, source in enumerate(SOURCES):
        torch.testing.assert_close(memory.pooled[row], embedded[row, : len(source)].mean(0))
    assert not list(encoder.parameters())
