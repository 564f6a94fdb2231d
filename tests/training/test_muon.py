import pytest
import torch
from torch import Tensor, nn

from atonce.layers.precision import has_bfloat16_hardware
from atonce.training.muon import LARGE, Muon, orthogonal


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (3, 8, 24), (2, 3, 24, 8), (2, LARGE, 2 * LARGE)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_all_singular_values_come_out_around_one(shape: tuple[int, ...], scale: float) -> None:
    values = torch.linalg.svdvals(orthogonal(scale * drawn(*shape)))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_directions_are_kept() -> None:
    """The nearest orthogonal matrix is U V of the singular value decomposition."""
    matrix = drawn(8, 32)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    ours = orthogonal(matrix)
    cosine = (ours * (left @ right)).sum() / (ours.norm() * (left @ right).norm())
    assert cosine > 0.97
    torch.testing.assert_close(orthogonal(matrix.T), ours.T)


def test_large_ones_are_nearly_the_same_in_bfloat16() -> None:
    """Where there is hardware for it; nothing is rounded of small ones, and of float64."""
    matrix = drawn(LARGE, 2 * LARGE)
    ours, exact = orthogonal(matrix), orthogonal(matrix.double()).float()
    cosine = (ours * exact).sum() / (ours.norm() * exact.norm())
    assert cosine > 0.999
    rounded = (ours - exact).abs().max() > 1e-4
    assert rounded == has_bfloat16_hardware(torch.device("cpu"))
    torch.testing.assert_close(orthogonal(matrix[:-1]), orthogonal(matrix[:-1].double()).float())


def test_a_batch_is_each_matrix_by_itself() -> None:
    matrices = drawn(3, 8, 12)
    torch.testing.assert_close(orthogonal(matrices), torch.stack([orthogonal(one) for one in matrices]))


def test_no_gradient_no_change_and_no_nan() -> None:
    assert not orthogonal(torch.zeros(4, 6)).any()
    weight = nn.Parameter(drawn(4, 6))
    before = weight.detach().clone()
    Muon([(weight, 1)], lr=0.1).step()
    assert torch.equal(weight, before)


def stepped(weight: Tensor, gradients: list[Tensor], blocks: int, **options: float) -> Tensor:
    parameter = nn.Parameter(weight.clone())
    optimizer = Muon([(parameter, blocks)], lr=0.1, **options)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


def test_an_update_is_orthogonal_momentum_after_decay() -> None:
    weight, gradients = drawn(12, 4), [drawn(12, 4, seed=1), drawn(12, 4, seed=2)]
    expected, average = weight.clone(), torch.zeros(12, 4)
    for gradient in gradients:
        average = 0.9 * average + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * average
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 3**0.5 * orthogonal(ahead)
    ours = stepped(weight, gradients, 1, momentum=0.9, weight_decay=0.5)
    torch.testing.assert_close(ours, expected)


def test_the_gates_of_a_layer_are_made_orthogonal_one_by_one() -> None:
    weight, gradient = drawn(12, 4), drawn(12, 4, seed=1)
    whole = stepped(weight, [gradient], 3)
    for gate in range(3):
        rows = slice(4 * gate, 4 * gate + 4)
        torch.testing.assert_close(whole[rows], stepped(weight[rows], [gradient[rows]], 1))


def test_matrices_of_one_shape_do_not_disturb_one_another() -> None:
    weights, gradients = [drawn(4, 6, seed=s) for s in (1, 2)], [drawn(4, 6, seed=s) for s in (3, 4)]
    parameters = [nn.Parameter(weight.clone()) for weight in weights]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    Muon([(parameter, 1) for parameter in parameters], lr=0.1).step()
    for parameter, weight, gradient in zip(parameters, weights, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), stepped(weight, [gradient], 1))


@pytest.mark.parametrize("shape", [(6, 4, 3), (6, 2, 3, 3), (6, 1, 1, 1)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_kernels_of_a_convolution_are_a_matrix_with_a_row_for_each_output(
    shape: tuple[int, ...], blocks: int
) -> None:
    weight, gradients = drawn(*shape), [drawn(*shape, seed=1), drawn(*shape, seed=2)]
    kernels = stepped(weight, gradients, blocks, weight_decay=0.5)
    matrix = stepped(weight.flatten(1), [one.flatten(1) for one in gradients], blocks, weight_decay=0.5)
    assert kernels.shape == shape
    assert not torch.equal(kernels, weight)
    torch.testing.assert_close(kernels.flatten(1), matrix)


def test_kernels_and_matrices_of_one_flat_shape_do_not_disturb_one_another() -> None:
    shapes = [(6, 4), (6, 2, 2), (6, 4, 1, 1)]
    weights, gradients = [drawn(*s) for s in shapes], [drawn(*s, seed=1 + i) for i, s in enumerate(shapes)]
    parameters = [nn.Parameter(weight.clone()) for weight in weights]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    Muon([(parameter, 1) for parameter in parameters], lr=0.1).step()
    for parameter, weight, gradient in zip(parameters, weights, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), stepped(weight, [gradient], 1))
