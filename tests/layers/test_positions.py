import math

import pytest
import torch

from atonce.layers.positions import sinusoids


@pytest.mark.parametrize("dim", [2, 8, 128])
def test_the_numbers_are_those_of_the_paper_in_another_order(dim: int) -> None:
    ours = sinusoids(40, dim)
    for position in (0, 1, 7, 39):
        for i in range(dim // 2):
            angle = position / 10_000 ** (2 * i / dim)
            assert ours[position, i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert ours[position, dim // 2 + i].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_a_later_start_gives_the_later_rows() -> None:
    assert torch.equal(sinusoids(3, 8, start=5), sinusoids(8, 8)[5:])


def test_no_two_positions_are_alike() -> None:
    rows = sinusoids(2000, 8)
    distances = torch.cdist(rows, rows) + torch.eye(2000)
    assert distances.min() > 1e-3
