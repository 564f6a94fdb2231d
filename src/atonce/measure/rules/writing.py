"""Operations that write to places of a tensor, over what was there or joined with it."""

from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.rules import masks
from atonce.measure.rules.reductions import all_of, whole
from atonce.measure.shadows import NOTHING, aligned, is_constant, is_unmarked, later, latest
from atonce.shapes import Bool, Int, Shaped


def put(call: Call) -> Effect:
    """index_put(tensor, places, values, accumulate), scatter, scatter_reduce, index_add, index_copy, put, …

    Whether something is written to an element depends on the places: it waits for those that may name it.
    """
    if chosen := _filled_where(call):
        return chosen
    tensor = call.args[0]
    destination = _destinations(call)
    values = _values(call, destination)
    before = call.shadow(tensor)
    flat = before.reshape(len(before), -1).clone()
    arrived = destination.flatten().expand(len(before), -1)
    adds = _adds(call)
    if not adds:  # what was there is gone, and nothing waits for it
        flat.scatter_(1, arrived, NOTHING)
    # The greatest, as several values may go to one place, and torch does not say which of them stays.
    flat.scatter_reduce_(1, arrived, values.reshape(len(before), -1), "amax")
    waited = later(flat.view(before.shape), _named_by(call))
    most = int(destination.flatten().bincount(minlength=1).max()) if adds else 1
    wide = any(one.dtype in _TRUTH and not call.is_fixed(one) for one in _places(call))
    far = _far_sums(call, destination) if adds else _far(call, destination)
    return Effect(
        [waited], joined=max(1, most) if adds else None, work=destination.numel(), far=far, wide=wide,
        loses=False if far is not None else None,
    )  # fmt: skip


def masked_scatter(call: Call) -> Effect:
    """masked_scatter(tensor, mask, source): which of the source comes depends on how many were before."""
    tensor, mask, source = call.args
    shape = call.output.shape
    whole = call.nothing(shape)
    far = call.shadows.far(tensor)
    written = call.shadows.far(source)
    counted = (
        aligned(call.shadow(mask), whole)[0].expand_as(whole).flatten(1).cummax(1).values.view(whole.shape)
    )
    mask = mask.expand(shape)
    origins = (mask.flatten().cumsum(0) - 1).clamp(min=0).view(shape)
    of_source = call.shadow(source).reshape(len(whole), -1)
    if not of_source.shape[1]:
        return Effect([later(call.shadow(tensor), counted)], joined=None)
    chosen = torch.where(mask, of_source[:, origins], aligned(call.shadow(tensor), whole)[0])
    if far is not None or written is not None:
        none = torch.zeros((), dtype=torch.bool)
        of_written = none if written is None else written.flatten()[origins]
        far = torch.where(mask, of_written, none if far is None else far)
    return Effect(
        [later(chosen, counted)],
        joined=None,
        far=far,
        loses=far is not None and not call.is_fixed(call.args[1]),
    )


def embedding_backward(call: Call) -> Effect:
    """embedding_dense_backward(gradient, places, rows, …): the gradients of a row's uses are summed."""
    gradient, places, rows = call.args[:3]
    shadow = call.shadow(gradient).flatten(1, -2) if gradient.dim() > 1 else call.shadow(gradient)[:, None]
    target = places.flatten()[None, :, None].expand(shadow.shape)
    summed = torch.full((len(shadow), rows, shadow.shape[-1]), NOTHING)
    summed.scatter_reduce_(1, target, shadow, "amax")
    return Effect([later(summed, whole(call, places, 2))], max(1, places.numel()), work=gradient.numel())


def embedding_bag(call: Call) -> Effect:
    """_embedding_bag(table, places, offsets, …): each bag waits for the rows that its places name."""
    table, places, offsets = call.args[:3]
    rows = call.shadow(table)[:, places]
    rows = later(rows, call.shadow(places)[..., None])
    weights = call.named("per_sample_weights")
    if isinstance(weights, Tensor):
        rows = later(rows, call.shadow(weights)[..., None])
    bag = (torch.arange(len(places))[:, None] >= offsets[None]).sum(1) - 1
    bags = torch.full((len(rows), max(len(call.output), len(offsets)), rows.shape[-1]), NOTHING)
    bags.scatter_reduce_(1, bag[None, :, None].expand(rows.shape), rows, "amax")
    waited = later(bags[:, : len(call.output)], whole(call, offsets, 2))
    where = later(all_of(call.shadow(places)), all_of(call.shadow(offsets)))
    others = [where.view(-1, *(1,) * one.dim()).expand(-1, *one.shape) for one in call.outputs[1:]]
    most = int(bag.bincount(minlength=1).max()) if len(places) else 1
    return Effect([waited, *others], max(1, most), work=len(places) * table.shape[-1])


def segment_reduce(call: Call) -> Effect:
    """segment_reduce(tensor, reduce, lengths=, …): each segment waits for its own, and for where it is."""
    tensor, axis = call.args[0], call.named("axis", 0)
    lengths, offsets = call.named("lengths"), call.named("offsets")
    ends = lengths.cumsum(-1) if lengths is not None else offsets[..., 1:]
    starts = ends - lengths if lengths is not None else offsets[..., :-1]
    place = torch.arange(tensor.shape[axis])
    inside = (place >= starts[..., None]) & (place < ends[..., None])  # *before, segments, places
    shadow = call.shadow(tensor).movedim(1 + axis, -1).unsqueeze(1 + axis)
    inside = inside.view(*inside.shape[:-1], *(1,) * (tensor.dim() - 1 - axis), inside.shape[-1])
    waited = latest(torch.where(inside, shadow, NOTHING), -1)
    said = lengths if lengths is not None else offsets
    waited = later(waited, whole(call, said, tensor.dim()))
    return Effect([waited], max(1, tensor.shape[axis]), work=tensor.numel())


def _far(call: Call, destination: Int[Tensor, "*places"]) -> Bool[Tensor, "*shape"] | None:
    """Where a mask has put what is there far from zero, before or by what is written. None if nowhere."""
    tensor, values = call.args[0], _written(call)
    before = call.shadows.far(tensor)
    written = call.shadows.far(values) if isinstance(values, Tensor) else None
    if before is None and written is None:
        return None
    far = torch.zeros(tensor.numel(), dtype=torch.bool) if before is None else before.flatten().clone()
    far[destination.flatten()] = False
    if written is not None:
        far[destination.flatten()] = _laid_out(written[None], call, destination)[0].flatten()
    return far.view(tensor.shape)


def _far_sums(call: Call, destination: Int[Tensor, "*places"]) -> Bool[Tensor, "*shape"] | None:
    """Where a sum is far from zero, because what was there is or because something that is added is."""
    if call.named("reduce") not in (None, "sum", "add") or not call.output.is_floating_point():
        return None
    tensor, values = call.args[0], _written(call)
    added = masks.far_of(call, values)
    before = call.shadows.far(tensor)
    if before is None and not added.any():
        return None
    far = torch.zeros(tensor.numel(), dtype=torch.bool) if before is None else before.flatten().clone()
    there = _laid_out(added[None], call, destination)[0].flatten()
    far[destination.flatten()[there]] = True
    return far.view(tensor.shape)


_TRUTH = (torch.bool, torch.uint8)


def _filled_where(call: Call) -> Effect | None:
    """tensor[mask] = one number: as masked_fill, each element waits for its own truth value."""
    if "index_put" not in call.name or _adds(call):
        return None
    given = [one for one in call.args[1] if one is not None]
    if (
        len(given) != 1
        or given[0].dtype not in _TRUTH
        or call.args[1][0] is None
        or call.args[2].numel() != 1
    ):
        return None
    tensor, mask = call.args[0], given[0]
    inner = (1,) * (tensor.dim() - mask.dim())
    condition = mask.bool().view(*mask.shape, *inner)
    waits = call.shadow(mask).view(-1, *mask.shape, *inner)
    value = call.shadow(call.args[2]).view(-1, *(1,) * tensor.dim())
    kept = call.shadow(tensor)
    both, always = later(waits, value, kept), torch.where(condition, value, kept)
    fixed = torch.where(is_unmarked(waits), later(waits, always), both)
    before = call.shadows.far(tensor)
    far = None if before is None else before & ~condition
    return Effect(
        [torch.where(is_constant(waits), always, fixed)],
        far=far,
        loses=before is not None and not call.is_fixed(mask),
    )


def _adds(call: Call) -> bool:
    if "reduce" in call.name:
        return bool(call.named("include_self", True))
    if "index_put" in call.name or call.name == "put":
        return bool(call.named("accumulate", False))
    return "add" in call.name or call.named("reduce") is not None


def _destinations(call: Call) -> Int[Tensor, "*shape"]:
    """Where each value that is written goes in the flattened tensor."""
    tensor = call.args[0]
    numbered = torch.arange(tensor.numel()).view(tensor.shape)
    if "index_put" in call.name:
        return numbered[tuple(slice(None) if one is None else one for one in call.args[1])]
    if call.name == "put":
        return call.args[1] % max(1, tensor.numel())
    dim, places = call.args[1:3]
    if call.name.startswith("scatter"):
        return numbered.gather(dim, places)
    return numbered.index_select(dim, places.reshape(-1))


def _values(call: Call, destination: Int[Tensor, "*shape"]) -> Int[Tensor, " channels *shape"]:
    """The shadow of what is written there."""
    return _laid_out(call.shadow(_written(call)), call, destination)


def _written(call: Call) -> Any:
    if "index_put" in call.name or call.name == "put":
        return call.args[2]
    return next(
        (one for one in (call.named(name) for name in ("src", "source", "value")) if one is not None), 0
    )


def _laid_out(said: Tensor, call: Call, destination: Int[Tensor, "*places"]) -> Tensor:
    """What is said of the values that are written, one for each place that is written to."""
    shape = destination.shape
    if call.name.startswith("scatter") and said.dim() == 1 + len(shape):
        said = said[:, *(slice(side) for side in shape)]  # may be larger than the places
    elif said[0].numel() == destination.numel():
        said = said.reshape(len(said), *shape)
    return said[:, *(None,) * (1 + len(shape) - said.dim())].expand(-1, *shape)


def _places(call: Call) -> list[Shaped[Tensor, "*places"]]:
    if "index_put" in call.name:
        return [one for one in call.args[1] if one is not None]
    return [call.args[1] if call.name == "put" else call.args[2]]


def _named_by(call: Call) -> Int[Tensor, " channels *shape"]:
    """For each element of the tensor, the shadow of all places that may name it.

    Where the places of a dimension are the same in every run, they can name no others.
    """
    tensor = call.args[0]
    if call.name.startswith("scatter") and tensor.dim():
        dim, places = call.args[1] % tensor.dim(), call.args[2]
        waited = call.nothing(tensor.shape)
        row = latest(call.shadow(places), 1 + dim, keepdim=True)
        here = [slice(side) for side in places.shape]
        here[dim] = slice(None)
        waited[:, *here] = row.expand(waited[:, *here].shape)
        return waited
    if "index_put" in call.name and not any(one.dtype in _TRUTH for one in _places(call)):
        return _named_by_index(call)
    waited = call.nothing((1,) * tensor.dim())
    return later(waited, *(whole(call, one, tensor.dim()) for one in _places(call)))


def _named_by_index(call: Call) -> Int[Tensor, " channels *shape"]:
    tensor, given = call.args[0], call.args[1]
    where = [dim for dim, one in enumerate(given) if one is not None]
    places = torch.broadcast_tensors(*(given[dim] for dim in where))
    shadows = [call.shadow(given[dim]) for dim in where]
    of_places = later(call.nothing(places[0].shape), *shadows).flatten(1)
    # Dimensions along which the places wait for nothing: these name the same wherever the others go.
    fixed = [n for n, one in enumerate(shadows) if bool(is_constant(one).all())]
    waited = call.nothing([tensor.shape[where[n]] if n in fixed else 1 for n in range(len(where))])
    flat = torch.zeros(of_places.shape[1], dtype=torch.long)
    for n in range(len(where)):
        side = waited.shape[1 + n]
        flat = flat * side + (places[n].flatten() % tensor.shape[where[n]] if n in fixed else 0)
    found = waited.flatten(1).scatter_reduce(1, flat.expand(len(of_places), -1), of_places, "amax")
    spread = [1] * tensor.dim()
    for n, dim in enumerate(where):
        spread[dim] = waited.shape[1 + n]
    return found.view(-1, *spread)
