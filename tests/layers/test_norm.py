from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from atonce.layers.transformer import EPSILON, NormKind, build_norm

DIM = 6
every_kind = pytest.mark.parametrize("kind", get_args(NormKind))


def by_the_paper(kind: NormKind, states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if kind == "layer":
        states = states - states.mean(-1, keepdim=True)
    size = (states.square().mean(-1, keepdim=True) + EPSILON).sqrt()
    return states / size * weight + (0 if bias is None else bias)


@every_kind
def test_a_norm_is_that_of_its_paper(kind: NormKind) -> None:
    torch.manual_seed(0)
    norm = build_norm(kind, DIM).double()
    for weight in norm.parameters():  # they begin as ones and zeros: mistakes would not show
        nn.init.normal_(weight)
    bias = getattr(norm, "bias", None)
    assert (bias is not None) == (kind == "layer")
    states = torch.randn(2, 3, DIM, dtype=torch.float64) * 3 + 1
    mixture = torch.randn(2, 3, DIM, dtype=torch.float64)

    def outcome(forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
        norm.zero_grad()
        given = states.clone().requires_grad_()
        outputs = forward(given)
        (outputs * mixture).sum().backward()
        return [outputs, given.grad, *(weight.grad.clone() for weight in norm.parameters())]

    torch.testing.assert_close(
        outcome(norm), outcome(lambda given: by_the_paper(kind, given, norm.weight, bias))
    )


@every_kind
def test_the_size_of_a_vector_does_not_matter_and_nothing_stays_nothing(kind: NormKind) -> None:
    norm = build_norm(kind, DIM).double()
    states = torch.linspace(-1, 2, DIM, dtype=torch.float64)
    torch.testing.assert_close(norm(states * 1000), norm(states), rtol=1e-4, atol=0)
    assert not norm(torch.zeros(DIM, dtype=torch.float64)).any()


def test_only_layer_norm_takes_the_mean_away() -> None:
    states = torch.linspace(-1, 2, DIM)
    same = {kind: torch.allclose(build_norm(kind, DIM)(states + 5), build_norm(kind, DIM)(states), atol=1e-5)
            for kind in get_args(NormKind)}  # fmt: skip
    assert same == {"layer": True, "rms": False}
