"""Decompositions, inverses, determinants and solvers: functions of whole matrices, many of them in a batch.

In unit cost each is one step, as a matrix product is. Of n × n numbers it takes n³ operations, and
n (1 + ⌈log2 n⌉) PRAM steps: as Gauss's elimination does, column after column, each with a search for a pivot.
"""

import math
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules.reductions import all_of
from atonce.measure.shadows import NOTHING, later, latest
from atonce.shapes import Int

_DIMS = {"tau": 1, "pivots": 1, "LU_pivots": 1, "atol": 0, "rtol": 0, "rcond": 0}
"""How many dimensions of an argument belong to one of a batch; two where nothing is said."""


def matrix_function(call: Call) -> Effect:
    """linalg_inv_ex, linalg_qr, _linalg_svd, _linalg_det, …: all of a result waits for all of its matrix."""
    one_each = later(*(_of_each(call, one, _dims(name)) for name, one in _named(call)))
    return _waited(call, [_spread(one_each, one) for one in call.outputs])


def solver(call: Call) -> Effect:
    """A X = B of any kind: each column of X waits for all of A and for its own column of B."""
    given = dict(_named(call))
    right = given.pop(
        next(name for name in ("B", "b", "input2", "self") if name in given and name != _left(call))
    )
    of_matrix = later(*(_of_each(call, one, _dims(name)) for name, one in given.items()))
    left = call.named("left", True)  # or X A = B, of which the rows are by themselves
    if right.dim() == 1 or call.output.dim() == of_matrix.dim():  # a batch of vectors
        columns = latest(call.shadow(right), -1, keepdim=True)
        first = later(of_matrix[..., None], columns)
    else:
        columns = latest(call.shadow(right), -2 if left else -1, keepdim=True)
        first = later(of_matrix[..., None, None], columns)
    others = [_spread(of_matrix, one) for one in call.outputs[1:]]
    return _waited(call, [first.expand(-1, *call.output.shape), *others])


def substitution(call: Call) -> Effect:
    """linalg_solve_triangular(A, B, upper=, left=): each row of X waits for those that are solved before."""
    matrix, right = call.args[:2]
    upper = call.named("upper")
    if not call.named("left", True):
        return solver(call)
    side = torch.ones(matrix.shape[-2:], dtype=torch.bool)
    used = torch.where(side.triu() if upper else side.tril(), call.shadow(matrix), NOTHING)
    rows = later(latest(used, -1, keepdim=True), call.shadow(right))
    # A running maximum: each row needs all solved before it, from above, or of an upper triangle from below.
    waited = rows.flip(-2).cummax(-2).values.flip(-2) if upper else rows.cummax(-2).values
    return _waited(call, [waited.expand(-1, *call.output.shape)])


def distances(call: Call) -> Effect:
    """_cdist_forward(one, other, …): each waits for its two vectors."""
    one, other = call.args[:2]
    rows = latest(call.shadow(one), -1)[..., None]
    columns = latest(call.shadow(other), -1)[..., None, :]
    return Effect([later(rows, columns)], max(1, one.shape[-1]), work=3 * call.output.numel() * one.shape[-1])


def distances_within(call: Call) -> Effect:
    """_pdist_forward(tensor, p): of each pair of rows."""
    rows = latest(call.shadow(call.args[0]), -1)
    first, second = torch.triu_indices(rows.shape[1], rows.shape[1], 1)
    size = call.args[0].shape[-1]
    return Effect([later(rows[:, first], rows[:, second])], max(1, size), work=3 * call.output.numel() * size)


def _named(call: Call) -> list[tuple[str, Tensor]]:
    """The tensors that went in, with their names."""
    names = [one.name for one in call.operation._schema.arguments]
    given: dict[str, Any] = dict(zip(names, call.args, strict=False)) | dict(call.kwargs)
    return [(name, one) for name, one in given.items() if isinstance(one, Tensor)]


def _left(call: Call) -> str:
    """The name of the matrix A, where it is not the first."""
    return {"triangular_solve": "A", "cholesky_solve": "input2"}.get(call.name, "self")


def _dims(name: str) -> int:
    return _DIMS.get(name, 2)


def _of_each(call: Call, tensor: Tensor, dims: int) -> Int[Tensor, " channels *batch"]:
    """The shadow of all of a matrix, for each of a batch."""
    dims = min(dims, tensor.dim())
    return latest(call.shadow(tensor), list(range(-dims, 0)))


def _spread(each: Int[Tensor, " channels *batch"], output: Tensor) -> Int[Tensor, " channels *shape"]:
    """What each of a batch waits for, over all of its result; all wait for all where results are no batch."""
    batch = each.shape[1:]
    if output.shape[: len(batch)] != batch:
        return all_of(each).view(-1, *(1,) * output.dim()).expand(-1, *output.shape)
    return each.view(*each.shape, *(1,) * (output.dim() - len(batch))).expand(-1, *output.shape)


def _waited(call: Call, shadows: list[Int[Tensor, " channels *shape"]]) -> Effect:
    matrix = max((one for _, one in _named(call)), key=lambda one: one.numel())
    size = max(matrix.shape[-2:], default=1)
    size = max(1, size)
    depth = size * (1 + math.ceil(math.log2(size)))
    # The greater of both, as no work can be less than its span (a law): also where there are no numbers.
    return Effect(shadows, size, work=max(matrix.numel() * size, depth), depth=depth)


def fourier_transform(call: Call) -> Effect:
    """_fft_c2c, _fft_r2c, _fft_c2r(tensor, dims, …): every frequency waits for every number along the dims.

    As Cooley and Tukey (1965): 5 n log2 n operations, and 1 + ⌈log2 n⌉ PRAM steps, one butterfly each.
    """
    tensor = call.args[0]
    dims = [dim % tensor.dim() for dim in call.args[1]]
    shadow = latest(call.shadow(tensor), [1 + dim for dim in dims], keepdim=True)
    size = math.prod(max(tensor.shape[dim], call.output.shape[dim]) for dim in dims)
    numbers = max(tensor.numel(), call.output.numel())
    work = 5 * numbers * max(1, math.ceil(math.log2(max(1, size))))
    return Effect([shadow.expand(-1, *call.output.shape)], max(1, size), work=work)
