"""The option `--fast`, which several commands have."""

import sys
from importlib.util import find_spec
from typing import Annotated

import typer


def _hint(fast: bool) -> bool:
    if fast and find_spec("numba") is None and sys.stderr.isatty() and _would_be_used():
        print("--fast is several times as fast with numba: pip install 'atonce[fast]'", file=sys.stderr)
    return fast


def _would_be_used() -> bool:
    from atonce.layers.eight_bits import can_multiply_eight_bits

    return can_multiply_eight_bits()


Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Much sooner on a CPU, and about as good: in eight bits, and compiled if numba is installed.",
        callback=_hint,
    ),
]
