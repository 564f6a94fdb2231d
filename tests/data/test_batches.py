from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from atonce.data import batches
from atonce.data.batches import Batch, DataPosition, batches_from, collate, plan_batches
from atonce.data.pairs import Examples

lengths = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[arrays.arrays(np.int32, n, elements=st.integers(1, 40)) for _ in range(2)])
)


@given(lengths, st.integers(1, 200), st.integers(0, 3), st.integers(0, 3))
def test_a_plan_has_each_example_once_within_the_budget(
    sides: tuple[np.ndarray, np.ndarray], budget: int, seed: int, epoch: int
) -> None:
    plan = plan_batches(*sides, batch_tokens=budget, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(sides[0])))
    for batch in plan:
        longest = max(side[batch].max() for side in sides)
        assert len(batch) == 1 or len(batch) * longest <= budget


@pytest.mark.parametrize("longest", [40, 2**15 - 1, 2**15, 2**20])
def test_neighbours_are_alike_on_both_sides_however_long(longest: int) -> None:
    draw = np.random.default_rng(0)
    sides = [draw.integers(longest - 3, longest + 1, 400).astype(np.int32) for _ in range(2)]
    key = batches._likeness(*sides)
    both = [
        (max(pair), pair[0] - pair[1] if max(pair) % 2 == 0 else pair[1] - pair[0])
        for pair in zip(*(side.tolist() for side in sides), strict=True)
    ]
    assert [both[index] for index in np.argsort(key, kind="stable")] == sorted(both)


def drawn_lengths(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths like those of sentences: a long tail, and targets about as long as sources."""
    draw = np.random.default_rng(0)
    source = np.clip(draw.lognormal(2.3, 0.4, n), 2, 200)
    return source.astype(np.int32), np.clip(source * draw.normal(1.1, 0.2, n), 2, 200).astype(np.int32)


def listed(plan: list[np.ndarray]) -> list[list[int]]:
    return [batch.tolist() for batch in plan]


def test_a_plan_is_a_pure_function() -> None:
    sides = drawn_lengths(500)
    plan = listed(plan_batches(*sides, batch_tokens=256, seed=1, epoch=2))
    np.random.seed(5)
    assert plan == listed(plan_batches(*sides, batch_tokens=256, seed=1, epoch=2))
    for seed, epoch in ((1, 3), (2, 2), (2, 1)):
        assert plan != listed(plan_batches(*sides, batch_tokens=256, seed=seed, epoch=epoch))


def test_batches_come_in_no_order_of_length_and_ties_are_mixed() -> None:
    sides = drawn_lengths(3000)
    one, other = (plan_batches(*sides, batch_tokens=256, seed=1, epoch=epoch) for epoch in (0, 1))
    means = [sides[0][batch].mean() for batch in one]
    assert means != sorted(means)
    assert {frozenset(batch.tolist()) for batch in one} != {frozenset(batch.tolist()) for batch in other}


def test_little_is_padding_and_the_budget_is_used() -> None:
    sides = drawn_lengths(20_000)
    plan = plan_batches(*sides, batch_tokens=2048, seed=1, epoch=0)
    positions = sum(len(batch) * sum(int(side[batch].max()) for side in sides) for batch in plan)
    assert 1 - sum(int(side.sum()) for side in sides) / positions < 0.05
    assert sum(len(batch) * max(int(side[batch].max()) for side in sides) for batch in plan) > (
        0.9 * 2048 * len(plan)
    )


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    return Examples.write(tmp_path / "e", [([9, 3], [7, 8, 3]), ([4, 5, 6, 3], [3]), ([3], [5, 3])])


def test_collate_pads_and_shifts(examples: Examples) -> None:
    batch = collate(examples, np.array([0, 1]))
    assert batch.source.tolist() == [[9, 3, 0, 0], [4, 5, 6, 3]]
    assert batch.source_mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.target_in.tolist() == [[2, 7, 8], [2, 0, 0]]
    assert batch.target_out.tolist() == [[7, 8, 3], [3, 0, 0]]
    assert batch.target_mask.tolist() == [[True] * 3, [True, False, False]]
    assert batch.source.dtype == batch.target_in.dtype == torch.int64


def test_a_batch_knows_its_padding(examples: Examples) -> None:
    batch = collate(examples, np.array([0, 1]))
    assert batch.target_tokens == 4
    assert batch.padding_share == pytest.approx(4 / 14)
    assert collate(examples, np.array([2])).padding_share == 0


def test_a_batch_moves_whole(examples: Examples) -> None:
    batch = collate(examples, np.array([2, 0]))
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    assert moved.target_mask.device.type == "meta"
    assert moved.source.shape == batch.source.shape
    # what was counted before the move is not counted again: on the meta device nothing could be
    assert (moved.target_tokens, moved.padding_share) == (batch.target_tokens, batch.padding_share)


def test_a_row_does_not_depend_on_its_neighbours(examples: Examples) -> None:
    together = collate(examples, np.array([2, 1, 0]))
    for row, index in enumerate([2, 1, 0]):
        alone = collate(examples, np.array([index]))
        assert together.source[row][together.source_mask[row]].tolist() == alone.source[0].tolist()
        assert together.target_in[row][together.target_mask[row]].tolist() == alone.target_in[0].tolist()


# A stream from any position on is the rest of the stream from the beginning.


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    pairs = [([5 + n, 6 + n % 7, *[9] * (n % 5), 3], [8 + n, 3]) for n in range(40)]
    return Examples.write(tmp_path_factory.mktemp("stream") / "examples", pairs)


def read(stored: Examples, start: DataPosition, count: int, seed: int = 1) -> list:
    stream = batches_from(start, stored, batch_tokens=24, seed=seed)
    return [(batch.tensors(), position) for batch, position in islice(stream, count)]


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        here == there and all(torch.equal(left[name], right[name]) for name in left)
        for (left, here), (right, there) in zip(one, other, strict=True)
    )


@given(st.integers(0, 40))
def test_from_any_position_the_same_batches_follow(stored: Examples, skipped: int) -> None:
    whole = read(stored, DataPosition(), 60)
    start = whole[skipped - 1][1] if skipped else DataPosition()
    assert same(read(stored, start, 60 - skipped), whole[skipped:])


def test_epoch_after_epoch_every_example_once(stored: Examples) -> None:
    first_tokens: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for tensors, position in read(stored, DataPosition(), 80):
        if position.epoch in first_tokens:
            first_tokens[position.epoch] += tensors["source"][:, 0].tolist()
    orders = list(first_tokens.values())
    assert all(sorted(order) == [5 + n for n in range(40)] for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_positions_count_up(stored: Examples) -> None:
    positions = [position for _, position in read(stored, DataPosition(), 60)]
    assert positions[0] == DataPosition(0, 1)
    for earlier, later in pairwise(positions):
        assert later in (DataPosition(earlier.epoch, earlier.batch + 1), DataPosition(earlier.epoch + 1, 1))
    assert positions[-1].epoch > 1


def test_another_seed_is_another_order(stored: Examples) -> None:
    one, other = (read(stored, DataPosition(), 9, seed) for seed in (1, 2))
    assert not same(one, other)
