"""Operations that only move numbers: they take no step, and an element waits for what it is a copy of.

Where each number went is found out by doing the same to numbers that say where they are from.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from atonce.measure.call import Call, Waited
from atonce.measure.rules.reductions import all_of
from atonce.measure.shadows import NOTHING, later
from atonce.shapes import Int


def copied(call: Call) -> Waited:
    """clone, _to_copy, copy_: the shape stays, or is the one that is written to."""
    source = call.args[1] if call.name == "copy" else call.args[0]
    return Waited([later(call.nothing(call.output.shape), call.shadow(source))], joined=None)


def moved(call: Call) -> Waited:
    """cat, stack, repeat, flip, roll, constant_pad_nd, …: all tensors among the arguments are data."""
    return Waited(_followed(call, call.args), joined=None)


def looked_up(call: Call) -> Waited:
    """embedding(table, places), gather(tensor, dim, places), index_select: each waits for its place, too."""
    places = next(one for one in call.args[1:] if isinstance(one, Tensor))
    waited = _followed(call, call.args, indices=[places])
    of_places = call.shadow(places)
    if call.name == "embedding":
        of_places = of_places[..., None]
    elif call.name == "index_select":
        after = call.args[0].dim() - 1 - call.args[1] % call.args[0].dim()
        of_places = of_places.view(len(of_places), -1, *(1,) * after)
    return Waited([later(waited[0], of_places)], joined=None)


def indexed(call: Call) -> Waited:
    """index(tensor, places for some dimensions). Of truth values, results wait for all: they say where."""
    tensor, places = call.args[:2]
    given = [one for one in places if one is not None]
    waited = _followed(call, call.args, indices=given)[0]
    if any(one.dtype in (torch.bool, torch.uint8) for one in given):
        return Waited([later(waited, *(_whole(call, one, waited) for one in given))], joined=None)
    shadows = torch.broadcast_tensors(*(call.shadow(one) for one in given))
    where = [dim for dim, one in enumerate(places) if one is not None]
    together = where == list(range(where[0], where[-1] + 1))
    after = tensor.dim() - len(given) - (where[0] if together else 0)
    of_places = later(*shadows)
    return Waited([later(waited, of_places.view(*of_places.shape, *(1,) * after))], joined=None)


def put(call: Call) -> Waited:
    """index_put(tensor, places, values, accumulate), scatter, scatter_add, index_add, index_copy, …

    Whether something is written to an element depends on the places: all wait for them.
    """
    tensor, values, destination = call.args[0], *_destinations(call)
    before = call.shadow(tensor)
    of_values = (
        call.shadow(values).expand(-1, *destination.shape)
        if isinstance(values, Tensor)
        else call.nothing(destination.shape)
    )
    flat, arrived = before.flatten(1).clone(), destination.flatten().expand(len(before), -1)
    adds = "add" in call.name or ("index_put" in call.name and call.argument(3, "accumulate", False))
    if not adds:
        flat.scatter_(1, arrived, NOTHING)
    flat.scatter_reduce_(1, arrived, of_values.flatten(1), "amax")
    waited = flat.view(before.shape)
    for places in _places(call):
        waited = later(waited, _whole(call, places, waited))
    return Waited([waited], joined=1 if adds else None, work=destination.numel())


def embedding_backward(call: Call) -> Waited:
    """embedding_dense_backward(gradient, places, rows, …): the gradients of a row's uses are summed."""
    gradient, places, rows = call.args[:3]
    shadow = call.shadow(gradient).flatten(1, -2) if gradient.dim() > 1 else call.shadow(gradient)[:, None]
    target = places.flatten()[None, :, None].expand(shadow.shape)
    summed = torch.full((len(shadow), rows, shadow.shape[-1]), NOTHING)
    summed.scatter_reduce_(1, target, shadow, "amax")
    return Waited(
        [later(summed, _whole(call, places, summed))], max(1, places.numel()), work=gradient.numel()
    )


def _destinations(call: Call) -> tuple[Any, Int[Tensor, "*shape"]]:
    """The values that are written, and where each goes in the flattened tensor."""
    tensor = call.args[0]
    numbered = torch.arange(tensor.numel()).view(tensor.shape)
    if "index_put" in call.name:
        return call.args[2], numbered[tuple(slice(None) if one is None else one for one in call.args[1])]
    dim, places = call.args[1:3]
    values = (
        call.argument(3, "src") if len(call.args) > 3 or "src" in call.kwargs else call.argument(3, "value")
    )
    if call.name.startswith("scatter"):
        destination = numbered.gather(dim, places)
        if isinstance(values, Tensor):  # may be larger than the places
            values = values[tuple(slice(side) for side in places.shape)]
        return values, destination
    return values, numbered.index_select(dim, places)


def _places(call: Call) -> list[Tensor]:
    given = call.args[1] if "index_put" in call.name else [call.args[2]]
    return [one for one in given if one is not None]


def _whole(
    call: Call, tensor: Tensor, like: Int[Tensor, " channels *shape"]
) -> Int[Tensor, " channels *ones"]:
    """The shadow of all of a tensor, to be laid over another."""
    return all_of(call.shadow(tensor)).view(-1, *(1,) * (like.dim() - 1))


def _followed(call: Call, args: Sequence[Any], *, indices: Sequence[Tensor] = ()) -> list[Tensor]:
    """The shadow of each result, by what its elements are copies of. `indices`: what is no data."""
    flat, numbered = [call.nothing((1,))], {}
    count = 1
    for one in tree_leaves(args):
        if isinstance(one, Tensor) and not any(one is index for index in indices):
            numbered[id(one)] = torch.arange(count, count + one.numel()).view(one.shape)
            flat.append(call.shadow(one).flatten(1))
            count += one.numel()
    origins = torch.cat(flat, dim=1)

    def replaced(value: Any) -> Any:
        return numbered.get(id(value), value) if isinstance(value, Tensor) else value

    args = tree_map(replaced, args)
    if call.name == "constant_pad_nd":
        args = [*args[:2], 0]
    came_from = call.operation(*args, **{key: value for key, value in call.kwargs.items() if key in _PLACING})
    return [origins[:, one] for one in tree_leaves(came_from)]


_PLACING = {"dim", "dims", "start", "end", "step", "index", "repeats", "sparse_grad"}
"""Arguments that say where things go; others say of what kind they become."""
