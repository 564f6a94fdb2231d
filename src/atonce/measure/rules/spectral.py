"""Fourier transforms: every frequency waits for every number along the dimensions that are transformed."""

import math

from atonce.measure.call import Call, Waited
from atonce.measure.shadows import latest


def transform(call: Call) -> Waited:
    """_fft_c2c, _fft_r2c, _fft_c2r(tensor, dims, …).

    As Cooley and Tukey (1965): 5 n log2 n operations, and 1 + ⌈log2 n⌉ PRAM steps, one butterfly each.
    """
    tensor = call.args[0]
    dims = [dim % tensor.dim() for dim in call.args[1]]
    shadow = latest(call.shadow(tensor), [1 + dim for dim in dims], keepdim=True)
    size = math.prod(max(tensor.shape[dim], call.output.shape[dim]) for dim in dims)
    numbers = max(tensor.numel(), call.output.numel())
    work = 5 * numbers * max(1, math.ceil(math.log2(max(1, size))))
    return Waited([shadow.expand(-1, *call.output.shape)], max(1, size), work=work)
