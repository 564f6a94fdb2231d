"""In what precision matrices are multiplied."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

# For every shape of every product in bfloat16, oneDNN makes a program of its own and keeps 1,024 of them,
# half a megabyte each. Batches have ever other shapes, so hardly one is used again in another step. With 128,
# enough for one step, 60 steps took 0.84 GB, not 1.46, and as long. Both caches are sized at their first use.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "128")

Precision = Literal["auto", "float32", "bfloat16"]


def has_bfloat16_hardware(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 faster than float32.

    A CPU with AMX does, or with AVX512-BF16 (from Zen 4 on); a GPU with tensor cores.
    """
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def products_are_reduced(device: torch.device) -> bool:
    """Whether a CPU multiplies float32 matrices in bfloat16 now: within `products`.

    Each product then converts its factors. For many small ones, such as those of a fused attention kernel,
    which makes one for each head and sentence, that takes ten times as long as the product.
    """
    return device.type == "cpu" and torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # type: ignore[attr-defined]


@contextmanager
def products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within the block, multiply matrices in `precision`; everything else stays in float32.

    On a CPU the factors are rounded to bfloat16 inside the product and sums are kept in float32, which costs
    no conversions outside of it; on a GPU it is autocast.
    """
    reduced = precision == "bfloat16" or (precision == "auto" and has_bfloat16_hardware(device))
    if not reduced:
        yield
    elif device.type == "cpu":
        matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        before = matmul.fp32_precision
        matmul.fp32_precision = "bf16"
        try:
            yield
        finally:
            matmul.fp32_precision = before
    else:
        with torch.autocast(device.type, torch.bfloat16):
            yield
