import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from atonce.layers.attention import observing
from atonce.layers.convolution import (
    ConvolutionDecoderBlock,
    ConvolutionEncoderBlock,
    GatedConvolution,
    PooledStage,
    level_sum,
)
from atonce.layers.masks import padding_mask

BATCH, LENGTH, SOURCE, DIM = 3, 7, 5, 6
REAL = torch.tensor([[True] * 7, [True] * 2 + [False] * 5, [True] * 6 + [False]])
SOURCE_REAL = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()


def unlike_new(module: nn.Module) -> None:
    """Norms begin as ones and zeros: mistakes in them would not show."""
    torch.manual_seed(0)
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.5)


def kernels_of(convolution: GatedConvolution) -> Tensor:
    """The weights as torch's `conv1d` wants them: (outputs, inputs, kernel)."""
    return convolution.linear.weight.unflatten(1, (convolution.kernel, -1)).mT


def same_gradients(module: nn.Module, ours: Tensor, expected: Tensor, *inputs: Tensor) -> None:
    """Of the inputs and of every weight, both results being made of the same ones."""
    torch.testing.assert_close(ours, expected)
    leaves = [*inputs, *module.parameters()]
    upstream = drawn(*ours.shape, seed=99).detach()
    for one, other in zip(
        torch.autograd.grad(ours, leaves, upstream),
        torch.autograd.grad(expected, leaves, upstream),
        strict=True,
    ):
        assert one.any()
        torch.testing.assert_close(one, other)


def gated(convolution: GatedConvolution, inputs: Tensor) -> Tensor:
    """By torch's own convolution and gate, which have time last."""
    convolved = F.conv1d(inputs.mT, kernels_of(convolution), convolution.linear.bias)
    return F.glu(convolved, dim=1).mT


@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
def test_a_gated_convolution_is_torchs_convolution_and_gate(kernel: int) -> None:
    torch.manual_seed(0)
    convolution, inputs = GatedConvolution(DIM, kernel).double(), drawn(BATCH, LENGTH, DIM)
    ours = convolution(inputs)
    assert ours.shape == (BATCH, LENGTH - kernel + 1, DIM)
    same_gradients(convolution, ours, gated(convolution, inputs), inputs)


def encoder_block(kernel: int) -> ConvolutionEncoderBlock:
    block = ConvolutionEncoderBlock(DIM, kernel, dropout=0.0).double()
    unlike_new(block)
    return block


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_an_encoder_block_convolves_each_sentence_as_if_it_were_alone(kernel: int) -> None:
    block, states = encoder_block(kernel), drawn(BATCH, LENGTH, DIM)
    reach = kernel // 2
    rows = []
    for row, real in zip(states, REAL, strict=True):
        alone = row[real][None]
        rows.append(0.5**0.5 * (alone + gated(block.convolution, F.pad(alone, (0, 0, reach, reach)))))
    expected = torch.cat([row[0] for row in rows])
    same_gradients(block, block(states, REAL)[REAL], expected, states)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 5), st.sampled_from([1, 3, 5]))
def test_more_padding_changes_no_real_state(lengths: list[int], more: int, kernel: int) -> None:
    block, longest = encoder_block(kernel), max(lengths)
    mask = padding_mask(torch.tensor(lengths), longest)
    states = drawn(len(lengths), longest, DIM)
    wide = torch.cat([states, 1e6 * drawn(len(lengths), more, DIM, seed=1)], dim=1)
    wide = torch.where(F.pad(mask, (0, more))[..., None], wide, 1e6)
    after = block(wide, F.pad(mask, (0, more)))[:, :longest]
    torch.testing.assert_close(after[mask], block(states, mask)[mask])


def decoder_block(kernel: int) -> ConvolutionDecoderBlock:
    block = ConvolutionDecoderBlock(DIM, kernel, dropout=0.0).double()
    unlike_new(block)
    return block


def nothing_before(block: ConvolutionDecoderBlock) -> Tensor:
    return torch.zeros(BATCH, block.convolution.kernel - 1, DIM, dtype=torch.float64)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_a_decoder_block_is_torchs_convolution_of_what_is_before_and_its_attention(kernel: int) -> None:
    block = decoder_block(kernel)
    states, embedded, source = (
        drawn(BATCH, length, DIM, seed=seed) for seed, length in enumerate((LENGTH, LENGTH, SOURCE))
    )
    ours, _ = block(states, nothing_before(block), embedded, source, SOURCE_REAL)

    half = 0.5**0.5
    convolved = gated(block.convolution, F.pad(states, (0, 0, kernel - 1, 0)))
    query = half * (F.linear(convolved, block.query.weight, block.query.bias) + embedded)
    context = F.scaled_dot_product_attention(query, source, source, SOURCE_REAL[:, None])
    looked = F.linear(context, block.context.weight, block.context.bias)
    expected = half * (states + half * (convolved + looked))
    same_gradients(block, ours, expected, states, embedded, source)


@pytest.mark.parametrize("kernel", [1, 2, 3, 6])
@given(cuts=st.lists(st.integers(1, LENGTH - 1), unique=True).map(sorted))
def test_a_decoder_block_goes_on_where_it_stopped(kernel: int, cuts: list[int]) -> None:
    """However the target is cut into parts, down to single positions, the past is all that is needed."""
    block = decoder_block(kernel)
    states, embedded, source = (
        drawn(BATCH, LENGTH, DIM),
        drawn(BATCH, LENGTH, DIM, seed=1),
        drawn(BATCH, SOURCE, DIM),
    )
    whole, last = block(states, nothing_before(block), embedded, source, SOURCE_REAL)
    past, parts = nothing_before(block), []
    for first, end in zip([0, *cuts], [*cuts, LENGTH], strict=True):
        part, past = block(states[:, first:end], past, embedded[:, first:end], source, SOURCE_REAL)
        assert past.shape == (BATCH, kernel - 1, DIM)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    torch.testing.assert_close(past, last)


def test_the_attention_of_a_decoder_block_can_be_watched() -> None:
    block, seen = decoder_block(3), []
    states, source = drawn(BATCH, LENGTH, DIM), drawn(BATCH, SOURCE, DIM, seed=2)
    with observing(lambda layer, weights: seen.append((layer, weights))):
        block(states, nothing_before(block), states, source, SOURCE_REAL)
    [(layer, weights)] = seen
    assert layer is block.attention
    assert layer.role == "cross"
    assert weights.shape == (BATCH, 1, LENGTH, SOURCE)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not weights.movedim(-1, 1)[~SOURCE_REAL].any()


def stage_of(kernel: int = 3) -> PooledStage:
    stage = PooledStage(2, 4, kernel, dropout=0.0).double()
    unlike_new(stage)
    return stage


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)])
def test_a_stage_is_torchs_convolutions_and_pooling(kernel: int, size: tuple[int, int]) -> None:
    stage, images = stage_of(kernel), drawn(BATCH, 2, *size)
    pooled, real = stage(images, torch.ones(BATCH, size[1], dtype=torch.bool))
    plane = images
    for convolution, norm in zip(stage.convolutions, stage.norms, strict=True):
        plane = F.conv2d(plane, convolution.weight, convolution.bias, padding=kernel // 2)
        plane = F.layer_norm(plane.permute(0, 2, 3, 1), (4,), norm.weight, norm.bias).permute(0, 3, 1, 2)
        plane = F.relu(plane)
    expected = F.max_pool2d(plane, 2, ceil_mode=True)
    assert pooled.shape == (BATCH, 4, *((side + 1) // 2 for side in size))
    assert real.all()
    assert real.shape == (BATCH, (size[1] + 1) // 2)
    same_gradients(stage, pooled, expected, images)


def test_states_keep_their_size_through_many_blocks() -> None:
    states = drawn(8, 50, 50).detach()
    for part in range(1, 20):
        states = level_sum(states, drawn(8, 50, 50, seed=part).detach())
    assert float(states.var()) == pytest.approx(1.0, rel=0.05)


@given(st.integers(1, 9), st.integers(0, 5))
def test_masked_columns_are_as_if_the_image_ended_there(width: int, more: int) -> None:
    stage, narrow = stage_of(), drawn(2, 2, 5, width)
    wide = torch.cat([narrow, 1e6 * drawn(2, 2, 5, more, seed=1)], dim=-1)
    mask = torch.ones(2, width, dtype=torch.bool)
    expected, all_real = stage(narrow, mask)
    pooled, real = stage(wide, F.pad(mask, (0, more)))
    assert all_real.all()
    assert (real.sum(1) == all_real.shape[1]).all()
    torch.testing.assert_close(pooled[..., : all_real.shape[1]], expected)


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    states = drawn(BATCH, LENGTH, DIM)
    encoder, decoder = (
        ConvolutionEncoderBlock(DIM, 3, 0.5).double(),
        ConvolutionDecoderBlock(DIM, 3, 0.5).double(),
    )
    stage = PooledStage(BATCH, 4, 3, 0.5).double()
    past = nothing_before(decoder)
    runs = {
        encoder: lambda: encoder(states, REAL),
        decoder: lambda: decoder(states, past, states, states, REAL)[0],
        stage: lambda: stage(states[None], torch.ones(1, DIM, dtype=torch.bool))[0],
    }
    for module, run in runs.items():
        module.train()
        assert not torch.equal(run(), run())
        module.eval()
        assert torch.equal(run(), run())
