"""The options `--sample` and `--seed`, which the commands that write texts have."""

from typing import Annotated

import typer


def _read_seed(seed: int | str) -> int:
    """Raises RecipeError for what is no seed: three lines, as of a recipe."""
    from atonce.seeds import check_seed

    return check_seed(int(seed) if str(seed).strip().isascii() and str(seed).strip().isdigit() else seed)


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


def check_sampling(sample: float, beam: int | None) -> None:
    """Raise RecipeError where both are given, before a model is loaded."""
    from atonce.errors import RecipeError

    if sample != 0 and beam is not None:
        raise RecipeError(
            f"--beam {beam} and --sample {sample:g} do not go together",
            why="a beam searches for the likeliest outputs; --sample draws them at random",
            fix="leave one of them out; --nbest says how many are drawn",
        )
