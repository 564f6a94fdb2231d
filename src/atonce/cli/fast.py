"""The option `--fast`, which several commands have."""

import sys
from importlib.util import find_spec
from typing import Annotated

import typer


def _hint(fast: bool) -> bool:
    if fast and find_spec("numba") is None and sys.stderr.isatty():
        print("--fast is several times as fast with numba: pip install 'atonce[fast]'", file=sys.stderr)
    return fast


Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Much sooner on a CPU, and about as good: in eight bits, and compiled if numba is installed.",
        callback=_hint,
    ),
]
