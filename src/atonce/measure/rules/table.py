"""The table of rules: by the name of an operation, what its results wait for."""
# By hand, in families: how a result depends on the arguments is written in no schema of torch's.

from collections.abc import Callable

import torch
from torch._ops import OpOverload

from atonce.measure.call import Call, Effect, base_name
from atonce.measure.rules import (
    creation,
    data_movement,
    linear_algebra,
    pointwise,
    products,
    reductions,
    windows,
    writing,
)

Rule = Callable[[Call], Effect]


# Names of ATen without overload and last underscore: in place, with `out=` or plain, they share a rule.
_RULES: dict[Rule, str] = {
    creation.constant: """
        zeros ones full empty empty_strided arange linspace logspace eye scalar_tensor zeros_like
        ones_like full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided
        empty_permuted fill zero lift_fresh lift_fresh_copy tril_indices triu_indices""",
    creation.given: """
        rand randn randint randperm rand_like randn_like randint_like uniform exponential random cauchy
        geometric log_normal normal_functional""",
    creation.drawn: "bernoulli poisson normal binomial _standard_gamma",
    creation.drawn_by_row: "multinomial _sample_dirichlet",
    creation.dropout: "native_dropout",
    creation.leaky: "rrelu_with_noise rrelu_with_noise_functional",
    data_movement.copied: "clone _to_copy copy lift detach_copy alias_copy",
    data_movement.moved: """
        cat stack _unsafe_view repeat flip roll rot90 constant_pad_nd slice_scatter select_scatter
        diagonal_scatter as_strided_scatter slice_backward select_backward unfold_copy split_copy
        split_with_sizes_copy view_copy expand_copy permute_copy t_copy transpose_copy squeeze_copy
        unsqueeze_copy pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle""",
    data_movement.looked_up: "embedding gather index_select take",
    data_movement.indexed: "index _unsafe_index",
    data_movement.packed: "_pack_padded_sequence",
    writing.put: """
        index_put _unsafe_index_put _index_put_impl scatter scatter_add scatter_reduce index_add
        index_copy index_reduce index_fill put""",
    writing.masked_scatter: "masked_scatter",
    writing.embedding_backward: "embedding_dense_backward",
    writing.embedding_bag: "_embedding_bag _embedding_bag_forward_only",
    writing.segment_reduce: "segment_reduce",
    pointwise.pointwise: """
        view_as_complex_copy view_as_real_copy fake_quantize_per_tensor_affine_cachemask
        softshrink_backward hardshrink_backward""",
    pointwise.where: "where",
    pointwise.masked_fill: "masked_fill",
    pointwise.triangle: "tril triu",
    products.matrix_product: "mm bmm mv dot vdot",
    products.added_product: "addmm baddbmm addmv",
    products.convolution: "convolution",
    products.convolution_backward: "convolution_backward",
    windows.pooling: "max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d",
    windows.linear_map: """
        im2col col2im upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
        _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d
        upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
        _upsample_lanczos2d_aa upsample_nearest1d_backward upsample_nearest2d_backward
        upsample_nearest3d_backward _upsample_nearest_exact1d_backward
        _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward upsample_linear1d_backward
        upsample_bilinear2d_backward upsample_trilinear3d_backward upsample_bicubic2d_backward
        _upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward _adaptive_avg_pool2d
        _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d _adaptive_avg_pool2d_backward
        _adaptive_avg_pool3d_backward avg_pool2d_backward avg_pool3d_backward reflection_pad1d_backward
        reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
        replication_pad2d_backward replication_pad3d_backward""",
    windows.whole_planes: """
        fractional_max_pool2d fractional_max_pool3d grid_sampler_3d fractional_max_pool2d_backward
        fractional_max_pool3d_backward adaptive_max_pool2d_backward adaptive_max_pool3d_backward
        max_pool3d_with_indices_backward""",
    linear_algebra.matrix_function: """
        linalg_cholesky_ex cholesky cholesky_inverse linalg_inv_ex linalg_qr qr geqrf linalg_lu
        linalg_lu_factor_ex lu_unpack _linalg_svd _linalg_eigh linalg_eig linalg_eigvals _linalg_eigvals
        _linalg_det _linalg_slogdet linalg_matrix_exp linalg_pinv linalg_lstsq
        linalg_householder_product orgqr ormqr linalg_ldl_factor_ex _cdist_backward linalg_eigvalsh
        linalg_matrix_power""",
    linear_algebra.solver: """
        _linalg_solve_ex linalg_lu_solve linalg_ldl_solve cholesky_solve triangular_solve""",
    linear_algebra.substitution: "linalg_solve_triangular",
    linear_algebra.distances: "_cdist_forward",
    linear_algebra.distances_within: "_pdist_forward",
    linear_algebra.fourier_transform: "_fft_c2c _fft_r2c _fft_c2r",
    reductions.sorting: "sort topk",
    reductions.searching: "searchsorted bucketize",
    reductions.counting: """
        histc histogram _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors
        nonzero nonzero_static masked_select bincount unique_dim unique_consecutive _unique _unique2
        _pdist_backward""",
    reductions.reduction: """
        sum mean prod amax amin aminmax max min argmax argmin any all var std var_mean std_mean
        logsumexp norm linalg_vector_norm nansum median nanmedian mode kthvalue count_nonzero
        hash_tensor""",
    reductions.softmax: "_softmax _log_softmax _safe_softmax",
    reductions.softmax_backward: "_softmax_backward_data _log_softmax_backward_data",
    reductions.norm: "native_layer_norm _fused_rms_norm",
    reductions.norm_backward: "native_layer_norm_backward _fused_rms_norm_backward",
    reductions.running: "cumsum cumprod logcumsumexp cummax cummin _cummax_helper _cummin_helper",
    reductions.alignment: "_ctc_loss",
    reductions.everything: "repeat_interleave",
}
_BY_NAME = {name: rule for rule, names in _RULES.items() for name in names.split()}


def rule_for(operation: OpOverload) -> Rule | None:
    """The rule of an operation; None if there is none."""
    name = base_name(operation)
    if name in ("max", "min") and _is_pointwise_extreme(operation):
        return pointwise.pointwise
    if rule := _BY_NAME.get(name):
        return rule
    # torch itself tags more than a hundred pointwise operations: these need no line in the table.
    return pointwise.pointwise if torch.Tag.pointwise in operation.tags else None


def _is_pointwise_extreme(operation: OpOverload) -> bool:
    """max and min of two tensors, which share a name with those over a dimension."""
    return operation._overloadname == "other"
