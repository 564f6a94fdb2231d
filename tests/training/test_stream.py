"""A stream from any position on is the rest of the stream from the beginning."""

from itertools import islice, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atonce.data.examples import Examples
from atonce.training.stream import Position, batches_from


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    pairs = [([5 + n, 6 + n % 7, *[9] * (n % 5), 3], [8 + n, 3]) for n in range(40)]
    return Examples.write(tmp_path_factory.mktemp("stream") / "examples", pairs)


def read(examples: Examples, start: Position, count: int, seed: int = 1) -> list:
    stream = batches_from(start, examples, batch_tokens=24, seed=seed)
    return [(batch.tensors(), position) for batch, position in islice(stream, count)]


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        here == there and all(torch.equal(left[name], right[name]) for name in left)
        for (left, here), (right, there) in zip(one, other, strict=True)
    )


@given(st.integers(0, 40))
def test_from_any_position_the_same_batches_follow(examples: Examples, skipped: int) -> None:
    whole = read(examples, Position(), 60)
    start = whole[skipped - 1][1] if skipped else Position()
    assert same(read(examples, start, 60 - skipped), whole[skipped:])


def test_epoch_after_epoch_every_example_once(examples: Examples) -> None:
    first_pieces: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for tensors, position in read(examples, Position(), 80):
        if position.epoch in first_pieces:
            first_pieces[position.epoch] += tensors["source"][:, 0].tolist()
    orders = list(first_pieces.values())
    assert all(sorted(order) == [5 + n for n in range(40)] for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_positions_count_up(examples: Examples) -> None:
    positions = [position for _, position in read(examples, Position(), 60)]
    assert positions[0] == Position(0, 1)
    for earlier, later in pairwise(positions):
        assert later in (Position(earlier.epoch, earlier.batch + 1), Position(earlier.epoch + 1, 1))
    assert positions[-1].epoch > 1


def test_another_seed_is_another_order(examples: Examples) -> None:
    one, other = (read(examples, Position(), 9, seed) for seed in (1, 2))
    assert not same(one, other)
