"""How much each output changes with each input, and whether it can: a check of the shadows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import tensors_in
from atonce.measure.tracer import along
from atonce.seeds import torch_seed
from atonce.shapes import Bool, Float


def influence(
    function: Callable[[Tensor], Any], inputs: Float[Tensor, "*shape"], *, position_dim: int = 1
) -> Float[Tensor, "inputs outputs"]:
    """The size of the Jacobian between each position of the input and each of the output (Frobenius norm).

    `function`: gives a tensor, or something that begins with one. To be sharp, it must compute in float64: in
    float32 the gradient of a recurrent net over long distances becomes exactly zero, though it is not.
    """
    given = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        output = tensors_in(function(given))[0]
    rows = torch.stack(
        [
            torch.autograd.grad(one, given, retain_graph=True, materialize_grads=True)[0]
            for one in output.flatten()
        ]
    )
    length = inputs.shape[along(inputs, position_dim)] if inputs.dim() else 1
    rows = rows.movedim(1 + along(inputs, position_dim), 1) if inputs.dim() else rows
    squares = rows.abs().square().reshape(len(rows), length, -1).sum(2)
    places = squares.view(*output.shape, length)
    places = places.movedim(along(output, position_dim), 0) if output.dim() else places[None]
    return places.reshape(len(places), -1, length).sum(1).T.sqrt()


def influence_on(
    function: Callable[[Tensor], Any], inputs: Float[Tensor, "batch positions dim"], position: int
) -> Float[Tensor, " positions"]:
    """The size of the Jacobian between each position of the input and one of the output.

    Its Frobenius norm, as the root of its mean square over the sequences of a batch, which must not see one
    another: much sooner done than `influence`, which takes all pairs. As there, in float64.
    """
    given = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        chosen = tensors_in(function(given))[0][:, position].flatten(1)
    squares = torch.zeros_like(inputs[0, :, 0])
    for one in chosen.unbind(1):
        # The sum over the batch has every sequence's own gradient, as they do not see one another.
        gradient = torch.autograd.grad(one.sum(), given, retain_graph=True, materialize_grads=True)[0]
        squares += gradient.square().sum(2).mean(0)
    return squares.sqrt()


def reach(
    function: Callable[[Tensor], Any],
    inputs: Float[Tensor, "*shape"],
    *,
    position_dim: int = 1,
    seed: int = 0,
) -> Bool[Tensor, "inputs outputs"]:
    """Whether each position of the output changes when one of the input is replaced by another vector."""
    dim = along(inputs, position_dim)
    draw = torch.Generator().manual_seed(torch_seed(seed))
    other = torch.randn(inputs.shape, generator=draw, dtype=inputs.dtype)
    other = torch.where(other == inputs, other + 1, other)  # the inputs may have been drawn the same way
    # By comparing outputs, without gradients: also where a function has none, as argmax, or it vanishes.
    before = tensors_in(function(inputs))[0]
    changed = []
    for position in range(inputs.shape[dim]):
        here = [slice(None)] * inputs.dim()
        here[dim] = slice(position, position + 1)
        perturbed = inputs.clone()
        perturbed[tuple(here)] = other[tuple(here)]
        differs = tensors_in(function(perturbed))[0] != before
        places = differs.movedim(along(before, position_dim), 0) if before.dim() else differs[None]
        changed.append(places.reshape(len(places), -1).any(1))
    return torch.stack(changed)
