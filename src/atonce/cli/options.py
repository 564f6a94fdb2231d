"""Options that several commands have. What a recipe bounds as well has the same bounds here."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.errors import RecipeError

if TYPE_CHECKING:
    from atonce.config import Config

MOST_SHOWN = 1_000_000
"""Of anything that is listed: more than anybody reads."""


def checked(option: str, value: object, *, config: "type[Config]", key: str) -> None:
    """Raise RecipeError for a number that the key of a recipe could not have either. None: not given."""
    if value is None:
        return
    try:
        config.parse({key: value}, origin=option)
    except RecipeError as error:
        fix = error.fix if error.fix != f"change {key}" else f"give {option} another number"
        raise RecipeError(f"{option} cannot be {value}", why=error.why, fix=fix) from None


def _of_decoding(option: str) -> Callable[[Any], Any]:
    """A callback that checks how many hypotheses are wanted, when there is an option that says so."""

    def check(value: int | None) -> int | None:
        if value not in (None, 1):
            from atonce.runs.recipe import DecodingConfig  # slow to import, and not for --help

            checked(option, value, config=DecodingConfig, key="beam")
        return value

    return check


def _read_seed(seed: int | str) -> int:
    """Raises RecipeError for what is no seed: three lines, as of a recipe."""
    from atonce.seeds import check_seed

    given = str(seed).strip()
    return check_seed(int(given) if given.isascii() and given.isdigit() and len(given) <= 20 else seed)


def _check_threads(threads: int | None) -> int | None:
    if threads is not None:
        from atonce.runs.recipe import TrainingConfig

        checked("--threads", threads, config=TrainingConfig, key="threads")
    return threads


def _hint(fast: bool) -> bool:
    if fast and sys.stderr.isatty() and _would_be_faster():
        print("--fast is several times as fast with numba: pip install 'atonce[fast]'", file=sys.stderr)
    return fast


def _would_be_faster() -> bool:
    """With numba."""
    from atonce.fast import can_compile, quantization

    return quantization.has_int8_hardware() and not can_compile()


Beam = Annotated[
    int | None,
    typer.Option("--beam", help="Hypotheses kept; 1 is greedy.", min=1, callback=_of_decoding("--beam")),
]
Nbest = Annotated[
    int,
    typer.Option(
        "--nbest",
        help="Outputs for each source, best first, with scores.",
        min=1,
        callback=_of_decoding("--nbest"),
    ),
]
Sample = Annotated[
    float,
    typer.Option(
        help="Draw words at random with this temperature, --nbest times, each draw by itself: likely outputs "
        "may come twice. 0 searches. Not with --beam.",
        min=0,
        max=100,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        help="For --sample: any whole number from 0 to 2^64 - 1.", parser=_read_seed, metavar="INTEGER"
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Faster int8 inference on a CPU, compiled if numba is installed; outputs may differ slightly.",
        callback=_hint,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="Threads that torch computes with; without it, one for a small model, else one a core.",
        min=1,
        callback=_check_threads,
    ),
]
STDIN = Path("-")
"""A file that is called so is standard input."""


def check_sampling(sample: float, beam: int | None) -> None:
    """Raise RecipeError where both are given, before a model is loaded."""
    if sample != 0 and beam is not None:
        raise RecipeError(
            f"--beam {beam} and --sample {sample:g} do not go together",
            why="a beam searches for the likeliest outputs; --sample draws them at random",
            fix="leave one of them out; --nbest says how many are drawn",
        )
