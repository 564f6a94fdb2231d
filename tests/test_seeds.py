import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from atonce.errors import RecipeError
from atonce.seeds import LARGEST_SEED, JsonSeed, check_seed, torch_seed

seeds = st.integers(0, LARGEST_SEED)


@given(seeds)
def test_any_whole_number_of_64_bits_is_a_seed(seed: int) -> None:
    assert check_seed(seed) == seed
    read = TypeAdapter(JsonSeed).validate_json
    assert read(str(seed)) == read(f'"{seed}"') == seed
    torch.Generator().manual_seed(torch_seed(seed))


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "1", None, float("nan")])
def test_what_is_no_seed_is_told(seed: object) -> None:
    with pytest.raises(RecipeError, match="from 0 to 18446744073709551615"):
        check_seed(seed)


def test_numbers_of_numpy_are_seeds() -> None:
    assert check_seed(np.uint64(LARGEST_SEED)) == LARGEST_SEED


def drawn(*seed: int) -> list[int]:
    return torch.randint(2**31, (4,), generator=torch.Generator().manual_seed(torch_seed(*seed))).tolist()


def test_every_bit_of_a_seed_matters() -> None:
    """torch would take them all for 5."""

    def torchs(seed: int) -> list[int]:
        return torch.randint(2**31, (4,), generator=torch.Generator().manual_seed(seed)).tolist()

    assert torchs(5) == torchs(5 + 2**32) == torchs(5 + 2**63)
    assert len({tuple(drawn(5 + (high << 32))) for high in range(50)}) == 50
    assert drawn(5) == torchs(5)


def test_further_numbers_make_further_seeds() -> None:
    apart = [(seed, step, rank) for seed in (1, 2, 2**40) for step in (1, 2**16 + 1) for rank in (1, 2)]
    assert len({tuple(drawn(*one)) for one in apart}) == len(apart)


@given(st.integers(0, 10**20 - 1) | st.integers(LARGEST_SEED - 10**4, LARGEST_SEED + 10**4))
def test_the_schema_of_requests_says_which_texts_are_seeds(number: int) -> None:
    _, text = TypeAdapter(JsonSeed).json_schema()["anyOf"]
    assert (re.search(text["pattern"], str(number)) is not None) == (number <= LARGEST_SEED)
