"""Muon: momentum made orthogonal, so that a matrix learns equally fast in every direction."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from atonce.layers.precision import has_bfloat16_hardware
from atonce.shapes import Float

LARGE = 64
"""Rows and columns from which on a matrix takes time; smaller ones are exact for nothing."""

Blocks = tuple[nn.Parameter, int]
"""A weight and the number of blocks stacked in its rows (the gates of a recurrent layer), each of which is
made orthogonal by itself. The kernels of a convolution, (outputs, inputs, height, width), count as a matrix
too: one row for each output, over all inputs that it sees."""


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton–Schulz iteration (Jordan 2024, https://kellerjordan.github.io/posts/muon).

    Matrices of one shape go through the iteration as one batch. As its author has it, it is in bfloat16,
    whatever the precision of the model: four times as fast as float32 here, but slow without hardware for it,
    where it is in float32 (torch's own Muon goes one by one, and always in bfloat16).
    """

    def __init__(
        self, matrices: Iterable[Blocks], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        matrices = list(matrices)
        self._blocks = {id(parameter): blocks for parameter, blocks in matrices}
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([parameter for parameter, _ in matrices], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    momentum = self._momentum(parameter, group["momentum"])
                    blocked = momentum.flatten(1).unflatten(0, (self._blocks[id(parameter)], -1))
                    by_shape[blocked.shape].append((parameter, blocked))
            for alike in by_shape.values():
                updates = orthogonal(torch.stack([blocked for _, blocked in alike]))
                for (parameter, blocked), update in zip(alike, updates, strict=True):
                    rows, columns = blocked.shape[1:]
                    # As in the author's code. Weight decay is AdamW's, by the rate alone.
                    rate = group["lr"] * max(1, rows / columns) ** 0.5
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(update.reshape(parameter.shape), alpha=rate)

    def _momentum(self, parameter: Float[nn.Parameter, "*shape"], decay: float) -> Float[Tensor, "*shape"]:
        """The gradient with the running average of the earlier ones: Nesterov's look ahead."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["average"] = torch.zeros_like(parameter)
        state["average"].lerp_(parameter.grad, 1 - decay)
        return parameter.grad.lerp(state["average"], decay)


def orthogonal(
    matrices: Float[Tensor, "*batch rows columns"], iterations: int = 5
) -> Float[Tensor, "*batch rows columns"]:
    """Nearly the nearest matrix with orthonormal rows or columns: all singular values end up around 1.

    A quintic Newton–Schulz iteration with the coefficients of Jordan 2024, chosen for a steep start; the
    singular values come out between about 0.7 and 1.2, which is as good for learning.
    """
    # On its side, so that the square matrix below has the size of the shorter side.
    tall = matrices.shape[-2] > matrices.shape[-1]
    start = matrices.mT if tall else matrices
    # By the Frobenius norm: no singular value is above 1 then, from where the iteration goes towards 1.
    start = start / (start.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    x = start.reshape(-1, *start.shape[-2:])
    x = x.to(_precision(start))
    for _ in range(iterations):
        # x becomes 3.4445 x - 4.7750 (x xᵀ) x + 2.0315 (x xᵀ)² x.
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, polynomial, x, beta=3.4445)
    x = x.to(start.dtype).view(start.shape)
    return x.mT if tall else x


def _precision(matrices: Float[Tensor, "*batch rows columns"]) -> torch.dtype:
    """What the iteration is computed in."""
    large = min(matrices.shape[-2:]) >= LARGE
    reduced = large and matrices.dtype == torch.float32 and has_bfloat16_hardware(matrices.device)
    return torch.bfloat16 if reduced else matrices.dtype
