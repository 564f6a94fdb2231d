import pytest
import torch
from torch import Tensor

from atonce.models.config import ConvolutionDecoderConfig, ConvolutionEncoderConfig, ModelConfig
from atonce.models.interface import Decoder, Encoder, Memory, State
from zoo import BOS, DIM, SOURCES, VOCAB, config_of, model_of, padded

SOURCE, TARGET = 9, 12


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def source_memory(batch: int) -> Memory:
    return Memory(
        drawn(batch, SOURCE, DIM), torch.ones(batch, SOURCE, dtype=torch.bool), drawn(batch, DIM, seed=1)
    )


def encoder_of(layers: int, kernel: int) -> Encoder:
    encoder = ConvolutionEncoderConfig(layers=layers, kernel=kernel)
    return model_of(ModelConfig(dim=DIM, encoder=encoder)).encoder


def decoder_of(layers: int, kernel: int) -> Decoder:
    decoder = ConvolutionDecoderConfig(layers=layers, kernel=kernel)
    return model_of(ModelConfig(dim=DIM, decoder=decoder)).decoder


def moved(before: Tensor, after: Tensor) -> list[int]:
    """Which positions of one row are no longer what they were."""
    return (before != after).any(-1)[0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize(("layers", "kernel", "reach"), [(1, 1, 0), (1, 3, 1), (3, 3, 3), (2, 5, 4)])
@pytest.mark.parametrize("changed", [0, 3, SOURCE - 1])
def test_the_encoder_sees_as_far_to_either_side_as_its_layers_add_up_to(
    layers: int, kernel: int, reach: int, changed: int
) -> None:
    encoder = encoder_of(layers, kernel)
    embedded, mask = drawn(1, SOURCE, DIM), torch.ones(1, SOURCE, dtype=torch.bool)
    other = embedded.clone()
    other[:, changed] = drawn(DIM, seed=1)
    after = moved(encoder(embedded, mask).states, encoder(other, mask).states)
    assert after == [at for at in range(SOURCE) if abs(at - changed) <= reach]


@pytest.mark.parametrize(("layers", "kernel", "reach"), [(1, 1, 0), (2, 2, 2), (2, 3, 4), (3, 3, 6)])
@pytest.mark.parametrize("changed", [0, 5, TARGET - 1])
def test_the_decoder_sees_as_far_back_as_its_layers_add_up_to(
    layers: int, kernel: int, reach: int, changed: int
) -> None:
    decoder = decoder_of(layers, kernel)
    memory = source_memory(1)
    target = torch.arange(TARGET)[None] % (VOCAB - 3) + 3
    other = target.clone()
    other[:, changed] = BOS
    after = moved(decoder.forward(target, memory), decoder.forward(other, memory))
    assert after == [at for at in range(TARGET) if 0 <= at - changed <= reach]


def test_a_token_is_not_the_same_everywhere_even_without_neighbours() -> None:
    states = encoder_of(1, kernel=1)(
        torch.ones(1, 3, DIM).double(), torch.ones(1, 3, dtype=torch.bool)
    ).states
    features = decoder_of(1, kernel=1).forward(torch.full((1, 3), 5), source_memory(1))
    for positions in (states[0], features[0]):
        assert not torch.isclose(positions[0], positions[1]).all()
        assert not torch.isclose(positions[1], positions[2]).all()


def test_the_summary_is_the_mean_of_what_is_real() -> None:
    memory = model_of(config_of("convolution", "gru_none")).encode(*padded(SOURCES, length=9))
    for states, pooled, source in zip(memory.states, memory.pooled, SOURCES, strict=True):
        torch.testing.assert_close(pooled, states[: len(source)].mean(0))


def sizes(state: State) -> list[torch.Size]:
    if isinstance(state, tuple):
        return [size for part in state for size in sizes(part)]
    return [state.shape] if isinstance(state, Tensor) else []


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_the_state_does_not_grow_with_the_target(kernel: int) -> None:
    decoder = decoder_of(2, kernel)
    state = decoder.start(source_memory(3))
    first = sizes(state)
    assert first.count(torch.Size([3, kernel - 1, DIM])) == 2
    for _ in range(2 * kernel):
        _, state = decoder.step(torch.full((3,), 5), state)
        assert sizes(state) == first


def test_all_positions_are_read_at_once_and_a_step_reads_one() -> None:
    model = model_of(config_of("bigru", "convolution"))
    lengths = []
    hook = model.decoder.layers[0].register_forward_hook(
        lambda _, inputs, __: lengths.append(inputs[0].shape[1])
    )
    with hook, torch.no_grad():
        model(*padded(SOURCES), torch.full((3, 4), BOS))
        state = model.decoder.start(model.encode(*padded(SOURCES)))
        for _ in range(3):
            _, state = model.decoder.step(torch.full((3,), BOS), state)
    assert lengths == [4, 1, 1, 1]
