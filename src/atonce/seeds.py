"""Seeds of random numbers: any whole number from 0 to 2^64 - 1, wherever one is given."""

import re
from hashlib import blake2b
from operator import index
from typing import Annotated, SupportsIndex

from pydantic import BeforeValidator, Field, WithJsonSchema

from atonce.errors import RecipeError

LARGEST_SEED = 2**64 - 1
"""torch takes no more, and takes -1 for this one."""
_RULE = f"a seed is a whole number from 0 to {LARGEST_SEED} (2^64 - 1) -> give such a number"


def check_seed(seed: object) -> int:
    """The seed. Raises RecipeError unless it is a whole number from 0 to 2^64 - 1."""
    try:
        return _seed(seed)
    except ValueError as error:
        why, _, fix = str(error).partition(" -> ")
        raise RecipeError(f"seed cannot be {seed!r}", why=why, fix=fix) from None


def torch_seed(seed: int, *more: int) -> int:
    """What torch is to be seeded with, and with `more`, a seed for each such list of numbers.

    On a CPU torch looks at the last 32 bits of a seed alone: 0 and 2^32 give the same random numbers. A seed
    of no more is taken as it is, any other mixed down to so many. Raises RecipeError if it is no seed.
    """
    if check_seed(seed) < 2**32 and not more:
        return seed
    # The same on every machine, unlike Python's hash.
    mixed = blake2b(" ".join(map(str, (seed, *more))).encode(), digest_size=4)
    return int.from_bytes(mixed.digest(), "big")


def _seed(seed: object) -> int:
    if isinstance(seed, SupportsIndex) and not isinstance(seed, bool) and 0 <= index(seed) <= LARGEST_SEED:
        return index(seed)
    raise ValueError(_RULE)


def _seed_of_json(seed: object) -> int:
    if isinstance(seed, str) and re.fullmatch("[0-9]{1,20}", seed):
        return _seed(int(seed))
    # JSON has one kind of number: 1.0 and 1e3 are whole. Beyond 2^53 it was rounded by who sent it.
    if isinstance(seed, float) and seed.is_integer() and seed < 2**53:
        return _seed(int(seed))
    return _seed(seed)


Seed = Annotated[int, BeforeValidator(_seed), Field(ge=0, le=LARGEST_SEED)]
"""In a config."""
_SMALLER = [
    f"{str(LARGEST_SEED)[:place]}[0-{int(digit) - 1}][0-9]{{{19 - place}}}"
    for place, digit in enumerate(str(LARGEST_SEED))
    if digit != "0"
]
"""Patterns of the smaller numbers of 20 digits: by the first digit in which they differ from it."""
JsonSeed = Annotated[
    int,
    BeforeValidator(_seed_of_json),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED},
                {
                    "type": "string",
                    "pattern": f"^({'|'.join(['[0-9]{1,19}', *_SMALLER, str(LARGEST_SEED)])})$",
                },
            ]
        }
    ),
]
"""In a request: a number, or a text of its digits, as JavaScript rounds numbers beyond 2^53."""
