import pytest
import torch
from torch import Tensor

from atonce.layers.positions import LearnedPositions
from atonce.models.seq2seq import Seq2Seq
from atonce.models.transformer import FeedForwardEncoder
from zoo import BOS, DECODERS, DIM, ENCODERS, SOURCES, config_of, model_of, padded

TRANSFORMERS = [name for name, config in ENCODERS.items() if config.kind == "transformer"]
every_transformer = pytest.mark.parametrize("name", TRANSFORMERS)
every_window = pytest.mark.parametrize("name", [name for name in TRANSFORMERS if ENCODERS[name].window])


@every_transformer
def test_each_position_sees_both_sides_and_where_it_stands(name: str) -> None:
    model = model_of(config_of(name, "gru_none"))
    first, swapped, last_changed = (
        model.encode(*padded([source])).states[0] for source in ([5, 3, 8], [3, 5, 8], [5, 3, 9])
    )
    assert not torch.isclose(first, last_changed).all(-1).any()
    assert not torch.allclose(first[[1, 0, 2]], swapped)


def changed(one: Tensor, other: Tensor) -> list[bool]:
    return (~torch.isclose(one, other).all(-1))[0].tolist()


@every_window
def test_an_encoders_layers_see_so_far_together(name: str) -> None:
    model = model_of(config_of(name, "gru_none"))
    reach = ENCODERS[name].layers * ENCODERS[name].window
    one, other = ([5, 3, 8, 4, 6, 7, place, 9, 3, 4, 5, 6, 8, 10, 7] for place in (5, 10))
    states = [model.encode(*padded([source])).states for source in (one, other)]
    assert changed(*states) == [abs(6 - place) <= reach for place in range(15)]


@every_window
def test_a_decoders_layers_see_so_far_back_together(name: str) -> None:
    model = model_of(config_of("bigru", name))
    reach = DECODERS[name].layers * DECODERS[name].window
    one, other = (torch.tensor([[BOS, 3, place, 4, 6, 7, 5, 9, 3, 4]]) for place in (5, 10))
    features = [model(*padded([[5, 3]]), target) for target in (one, other)]
    assert changed(*features) == [2 <= place <= 2 + reach for place in range(10)]


@pytest.mark.parametrize(("name", "alike"), [("modern", True), ("learned", False)])
def test_rotary_positions_say_how_far_and_not_where(name: str, alike: bool) -> None:
    """Far from both ends of a text that repeats itself, a window shows the same at each repetition."""
    model = model_of(config_of(name, "gru_none"))
    states = model.encode(*padded([[5, 3, 8, 4] * 5])).states[0]
    assert torch.allclose(states[5:9], states[9:13]) == alike


def steps(model: Seq2Seq, targets: Tensor) -> Tensor:
    state, logits = model.decoder.start(model.encode(*padded(SOURCES))), []
    for token in targets.unbind(1):
        scores, state = model.decoder.step(token, state)
        logits.append(scores)
    return torch.stack(logits, dim=1)


def test_texts_longer_than_the_table_of_positions_are_read_and_written() -> None:
    model = model_of(config_of("learned", "learned"))
    for side in (model.encoder, model.decoder):
        side.positions = LearnedPositions(DIM, longest=3).double()
    targets = torch.tensor([[BOS, 4, 6, 3, 7, 7, 7]] * 3)
    memory = model.encode(*padded(SOURCES))
    torch.testing.assert_close(
        steps(model, targets), model.decoder.logits(model.decoder.forward(targets, memory))
    )


@every_transformer
def test_all_positions_are_read_at_once_and_a_step_keeps_one(name: str) -> None:
    model = model_of(config_of("bigru", name))
    lengths = []
    hook = model.decoder.layers[0].register_forward_hook(
        lambda _, inputs, __: lengths.append(inputs[0].shape[1])
    )
    with hook, torch.no_grad():
        model(*padded(SOURCES), torch.full((3, 4), BOS))
        state = model.decoder.start(model.encode(*padded(SOURCES)))
        for _ in range(3):
            _, state = model.decoder.step(torch.full((3,), BOS), state)
    assert lengths == [4]
    kept = DECODERS[name].key_value_heads or DECODERS[name].heads
    assert len(state.caches.content) == 2
    for part in (part for cache in state.caches.content for part in cache):
        assert part.key.shape[1] == part.value.shape[1] == kept
    assert state.position == state.kept == 3


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
