"""Operations that only move numbers: they take no step, and an element waits for what it is a copy of.

Where each number went is found out by doing the same to numbers that say where they are from.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from atonce.measure.call import Call, Effect
from atonce.measure.rules.reductions import all_of, whole
from atonce.measure.shadows import later
from atonce.shapes import Bool, Int, Shaped


def copied(call: Call) -> Effect:
    """clone, _to_copy, copy_: the shape stays, or is the one that is written to."""
    source = call.args[1] if call.name == "copy" else call.args[0]  # of copy_, the first is written over
    waited = later(call.nothing(call.output.shape), call.shadow(source))
    return Effect([waited], joined=None, far=call.shadows.far(source), loses=False)


def moved(call: Call) -> Effect:
    """cat, stack, repeat, flip, roll, constant_pad_nd, …: all tensors among the arguments are data."""
    return Effect(_followed(call, call.args), joined=None, far=_far(call, call.args), loses=False)


def looked_up(call: Call) -> Effect:
    """embedding(table, places), gather(tensor, dim, places), index_select: each waits for its place, too."""
    places = next(one for one in call.args[1:] if isinstance(one, Tensor))
    waited: Any = _followed(call, call.args, indices=[places])
    far = _far(call, call.args, indices=[places])
    of_places = call.shadow(places)
    if call.name == "embedding":
        of_places = of_places[..., None]
    elif call.name == "index_select" and call.args[0].dim():
        after = call.args[0].dim() - 1 - call.args[1] % call.args[0].dim()
        of_places = of_places.view(len(of_places), -1, *(1,) * after)
    waited = later(waited[0], of_places).reshape(call.shadows.channels, *call.output.shape)
    return Effect([waited], joined=None, far=far, loses=False)


def indexed(call: Call) -> Effect:
    """index(tensor, places for some dimensions). Of truth values, results wait for all: they say where."""
    tensor, places = call.args[:2]
    given = [one for one in places if one is not None]
    waited = _followed(call, call.args, indices=given)[0]
    # How many results come before one depends on all truth values: so on all of the mask.
    if any(one.dtype in (torch.bool, torch.uint8) for one in given):
        wide = not all(call.is_fixed(one) for one in given)
        waited = later(waited, *(whole(call, one, waited.dim() - 1) for one in given))
        return Effect([waited], joined=None, wide=wide, far=_far(call, call.args, indices=given), loses=False)
    of_places = later(*(call.shadow(one) for one in given))
    # NumPy's rule: the dimensions of the places stand where they were, or in front if they are apart.
    where = [dim for dim, one in enumerate(places) if one is not None]
    together = where == list(range(where[0], where[-1] + 1))
    after = tensor.dim() - len(given) - (where[0] if together else 0)
    waited = later(waited, of_places.view(*of_places.shape, *(1,) * after))
    return Effect([waited], joined=None, far=_far(call, call.args, indices=given), loses=False)


def packed(call: Call) -> Effect:
    """_pack_padded_sequence(tensor, lengths, batch_first): and how many sequences are left at each step."""
    tensor, lengths, first = call.args
    batch, longest = tensor.shape[:2] if first else (tensor.shape[1], tensor.shape[0])
    numbered = torch.arange(tensor.numel()).view(tensor.shape)
    came_from = numbered if not first else numbered.transpose(0, 1)
    present = torch.arange(longest)[:, None] < lengths[None, :batch]
    places = came_from[present]
    of_lengths = all_of(call.shadow(lengths))
    waited = later(call.shadow(tensor).flatten(1)[:, places], of_lengths.view(-1, *(1,) * places.dim()))
    return Effect([waited, of_lengths[:, None].expand(-1, len(call.outputs[1]))], joined=None)


def _followed(
    call: Call, args: Sequence[Any], *, indices: Sequence[Tensor] = ()
) -> list[Int[Tensor, " channels *shape"]]:
    """The shadow of each result, by what its elements are copies of. `indices`: what is no data."""
    return _carried(call, args, indices, call.nothing((1,)), call.shadow)


def _far(call: Call, args: Sequence[Any], *, indices: Sequence[Tensor] = ()) -> Bool[Tensor, "*shape"] | None:
    """Where results are copies of what a mask has put far from zero; None if nowhere."""
    shadows = call.shadows
    if len(call.outputs) > 1 or all(shadows.far(one) is None for one in call.tensors):
        return None

    def far(tensor: Tensor) -> Bool[Tensor, " one *shape"]:
        found = shadows.far(tensor)
        return (torch.zeros(tensor.shape, dtype=torch.bool) if found is None else found)[None]

    found = _carried(call, args, indices, torch.zeros((1, 1), dtype=torch.bool), far)[0]
    return found.reshape(call.output.shape)


def _carried(
    call: Call,
    args: Sequence[Any],
    indices: Sequence[Tensor],
    none: Shaped[Tensor, "channels 1"],
    of: Callable[[Tensor], Shaped[Tensor, " channels *_"]],
) -> list[Shaped[Tensor, " channels *_"]]:
    """For each result, what `of` says of the number it is a copy of. `none`: of what is not a copy."""
    # The operation runs again on the numbers 1, 2, 3, …: its result says where each came from. So no rule has
    # to know what `roll` or `pixel_shuffle` does.
    flat, numbered = [none], {}
    count = 1
    for one in tree_leaves(args):
        if isinstance(one, Tensor) and not any(one is index for index in indices):
            numbered[id(one)] = torch.arange(count, count + one.numel()).view(one.shape)
            flat.append(of(one).reshape(len(none), -1))
            count += one.numel()
    origins = torch.cat(flat, dim=1)

    def replaced(value: Any) -> Any:
        return numbered.get(id(value), value) if isinstance(value, Tensor) else value

    args = tree_map(replaced, args)
    if call.name == "constant_pad_nd":
        args = [*args[:2], 0]  # padding is no copy of anything: number 0
    function = call.function if call.operation._schema.is_mutable else call.operation
    came_from = function(*args, **{key: value for key, value in call.kwargs.items() if key not in _KINDS})
    return [origins[:, one] for one in tree_leaves(came_from)]


_KINDS = {"dtype", "layout", "device", "pin_memory", "memory_format"}
"""Arguments that say of what kind results become; others say where things go."""
