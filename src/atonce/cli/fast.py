"""The option `--fast`, which several commands have."""

import sys
from typing import Annotated

import typer


def _hint(fast: bool) -> bool:
    if fast and sys.stderr.isatty() and _would_be_faster():
        print("--fast is several times as fast with numba: pip install 'atonce[fast]'", file=sys.stderr)
    return fast


def _would_be_faster() -> bool:
    """With numba."""
    from atonce.layers import eight_bits, kernels

    return eight_bits.can_multiply_eight_bits() and not kernels.can_be_used()


Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Much sooner on a CPU, and about as good: in eight bits, and compiled if numba is installed.",
        callback=_hint,
    ),
]
