"""Which rule is whose."""

from collections.abc import Callable

import torch
from torch._ops import OpOverload

from atonce.measure.call import Call, Waited, base_name
from atonce.measure.rules import moves, pointwise, products, reductions

Rule = Callable[[Call], Waited]


def _given(call: Call) -> Waited:
    """Random numbers: they wait for nothing, but can be anything."""
    return Waited([call.given(one.shape) for one in call.outputs], joined=None)


def _constant(call: Call) -> Waited:
    """zeros, arange, full, fill_, …: the same in every run, whatever tensor gave the shape."""
    filling = call.shadow(call.args[1]) if call.name == "fill" else call.nothing(())
    shapes = [one.shape for one in call.outputs]
    return Waited([filling.view(-1, *(1,) * len(shape)).expand(-1, *shape) for shape in shapes], joined=None)


def _dropout(call: Call) -> Waited:
    """native_dropout(tensor, share, train): what is dropped is a matter of chance, no constant."""
    shadow = call.shadow(call.args[0])
    return Waited([shadow, call.given(call.outputs[1].shape)])


_RULES: dict[Rule, str] = {
    _constant: """zeros ones full empty empty_strided arange linspace logspace eye scalar_tensor zeros_like
        ones_like full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided fill zero
        lift_fresh lift_fresh_copy tril_indices triu_indices""",
    _dropout: "native_dropout",
    moves.copied: "clone _to_copy copy lift detach_copy alias_copy",
    moves.moved: """cat stack _unsafe_view repeat flip roll rot90 constant_pad_nd slice_scatter select_scatter
        diagonal_scatter as_strided_scatter slice_backward select_backward unfold_copy split_copy
        split_with_sizes_copy view_copy expand_copy permute_copy t_copy transpose_copy""",
    moves.looked_up: "embedding gather index_select",
    moves.indexed: "index _unsafe_index",
    moves.put: "index_put _unsafe_index_put _index_put_impl scatter scatter_add index_add index_copy",
    moves.embedding_backward: "embedding_dense_backward",
    pointwise.where: "where",
    pointwise.masked_fill: "masked_fill",
    pointwise.triangle: "tril triu",
    products.matrix_product: "mm bmm mv dot",
    products.added_product: "addmm baddbmm addmv",
    products.convolution: "convolution",
    products.convolution_backward: "convolution_backward",
    products.pooling: "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d",
    reductions.reduction: """sum mean prod amax amin aminmax max min argmax argmin any all var std var_mean
        std_mean logsumexp norm linalg_vector_norm nansum median count_nonzero""",
    reductions.sorting: "sort topk",
    reductions.softmax: "_softmax _log_softmax _safe_softmax",
    reductions.softmax_backward: "_softmax_backward_data _log_softmax_backward_data",
    reductions.norm: "native_layer_norm _fused_rms_norm",
    reductions.norm_backward: "native_layer_norm_backward _fused_rms_norm_backward",
    reductions.running: "cumsum cumprod logcumsumexp cummax cummin",
    reductions.everything: "repeat_interleave",
}
_BY_NAME = {name: rule for rule, names in _RULES.items() for name in names.split()}


def rule_for(operation: OpOverload) -> Rule | None:
    """The rule of an operation; None if nobody has described it."""
    if torch.Tag.nondeterministic_seeded in operation.tags and "dropout" not in operation.name():
        return _given
    name = base_name(operation)
    if name in ("max", "min") and _is_pointwise_extreme(operation):
        return pointwise.pointwise
    if rule := _BY_NAME.get(name):
        return rule
    return pointwise.pointwise if torch.Tag.pointwise in operation.tags else None


def _is_pointwise_extreme(operation: OpOverload) -> bool:
    """max and min of two tensors, which share a name with those over a dimension."""
    return operation._overloadname == "other"
