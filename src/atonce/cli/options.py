"""Options that several commands share. Those that are keys of a recipe, too, have the same bounds."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atonce.errors import RecipeError

if TYPE_CHECKING:
    from atonce.config import Config

MOST_SHOWN = 1_000_000
"""Entries of any list: more than anybody reads."""


def checked(option: str, value: object, *, config: "type[Config]", key: str) -> None:
    """Raise RecipeError for a number that the key of a recipe could not have. None: not given."""
    # By the recipe's own config, so that its bounds stand once, and the reason is worded once.
    if value is None:
        return
    try:
        config.parse({key: value}, origin=option)
    except RecipeError as error:
        fix = error.fix if error.fix != f"change {key}" else f"give {option} another number"
        raise RecipeError(f"{option} cannot be {value}", why=error.why, fix=fix) from None


def _of_decoding(option: str) -> Callable[[Any], Any]:
    """A callback that checks a number of hypotheses."""

    def check(value: int | None) -> int | None:
        if value not in (None, 1):  # the defaults need no check, and no import
            from atonce.runs.recipe import DecodingConfig  # slow to import, and not for --help

            checked(option, value, config=DecodingConfig, key="beam")
        return value

    return check


def _read_seed(seed: int | str) -> int:
    """The seed. Raises RecipeError for anything else, with the same three lines as a recipe."""
    from atonce.seeds import check_seed

    # Not typer's own int: it would take 1_000 and digits of any script, and refuse in other words.
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
    """Whether numba would make --fast faster on this machine."""
    # Not where the CPU has no int8 instructions: there numba is not used either.
    from atonce.fast import can_compile, quantization

    return quantization.has_int8_hardware() and not can_compile()


Beam = Annotated[
    int | None,
    typer.Option("--beam", help="Beam size; 1 is greedy.", min=1, callback=_of_decoding("--beam")),
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
        help="Sampling temperature; draws --nbest samples independently, so that outputs may repeat. 0: beam "
        "search. Not with --beam.",
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
        help="Faster int8 inference on CPUs; outputs may differ slightly. Compiled if numba is installed.",
        callback=_hint,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="Threads for torch; by default one for a small model, else one per core.",
        min=1,
        callback=_check_threads,
    ),
]
STDIN = Path("-")
"""Stands for standard input."""


def check_sampling(sample: float, beam: int | None) -> None:
    """Raise RecipeError where both are given, before a model is loaded."""
    if sample != 0 and beam is not None:
        raise RecipeError(
            f"--beam {beam} and --sample {sample:g} do not go together",
            why="a beam searches for the most likely outputs; --sample draws them at random",
            fix="leave one of them out; --nbest is the number of samples",
        )
