import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.serve.batching import PATIENCE, Batcher, Item, Overloaded

KEYS = "abc"


class Work:
    """Doubles numbers, and remembers how. Zero cannot be doubled."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, key: str, contents: list[int]) -> list[tuple[str, int]]:
        assert self.may_go_on.wait(10)
        self.batches.append((key, list(contents)))
        if 0 in contents:
            raise ValueError("zero")
        return [(key, 2 * content) for content in contents]


def items(*numbers: int, size: int = 1) -> list[Item]:
    return [Item(number, size) for number in numbers]


def run(
    work: Work, use: Callable[[Batcher], Coroutine[Any, Any, Any]], *, batch_size: int = 8, wait: float = 0.0,
    capacity: int = 100,
) -> Any:  # fmt: skip
    async def within() -> Any:
        async with Batcher(work, batch_size=batch_size, wait=wait, capacity=capacity) as batcher:
            return await use(batcher)

    return asyncio.run(within())


@given(
    st.lists(
        st.tuples(st.sampled_from(KEYS), st.lists(st.integers(1, 99), min_size=1, max_size=5)), max_size=12
    ),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_everybody_gets_the_answers_to_their_own_questions(
    asked: list[tuple[str, list[int]]], batch_size: int, size: int
) -> None:
    work = Work()

    async def use(batcher: Batcher) -> list[Any]:
        return await asyncio.gather(*(batcher.ask(key, items(*numbers, size=size)) for key, numbers in asked))

    found = run(work, use, batch_size=batch_size)
    assert found == [[(key, 2 * number) for number in numbers] for key, numbers in asked]
    assert sorted(n for _, batch in work.batches for n in batch) == sorted(n for _, ns in asked for n in ns)
    assert all(len(batch) * size <= batch_size or len(batch) == 1 for _, batch in work.batches)


def test_what_comes_while_others_are_worked_on_is_one_batch() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        work.may_go_on.clear()
        first = asyncio.create_task(batcher.ask("a", items(1)))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher.ask("a", items(number))) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        work.may_go_on.set()
        await asyncio.gather(first, *others)

    run(work, use)
    assert work.batches == [("a", [1]), ("a", [2, 3, 4])]


def test_the_first_waits_for_others_until_a_batch_is_full() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.ask("a", items(1)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.ask("a", items(2, 3)))

    run(work, use, batch_size=3, wait=60.0)  # and not for a minute
    assert work.batches == [("a", [1, 2, 3])]


def test_the_oldest_wish_comes_first_and_others_keep_their_turn() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        work.may_go_on.clear()
        tasks = [asyncio.create_task(batcher.ask(key, items(n))) for n, key in enumerate("abbab", start=1)]
        await asyncio.sleep(0.05)
        work.may_go_on.set()
        await asyncio.gather(*tasks)

    run(work, use)
    assert [batch for batch in work.batches if batch[0] == "b"] == [("b", [2, 3, 5])]
    assert work.batches[0][0] == "a"


def test_more_than_may_wait_is_refused_and_nothing_is_lost() -> None:
    work = Work()

    async def use(batcher: Batcher) -> list[Any]:
        work.may_go_on.clear()
        first = asyncio.create_task(batcher.ask("a", items(1)))
        await asyncio.sleep(0.05)
        waits = asyncio.create_task(batcher.ask("a", items(2, 3)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refusal:
            await batcher.ask("a", items(4))
        assert 1 <= refusal.value.retry_after <= PATIENCE
        work.may_go_on.set()
        return await asyncio.gather(first, waits)

    assert run(work, use, capacity=2) == [[("a", 2)], [("a", 4), ("a", 6)]]


def test_who_is_at_fault_fails_alone() -> None:
    work = Work()

    async def use(batcher: Batcher) -> list[Any]:
        asked = [batcher.ask("a", items(number)) for number in (1, 0, 2)]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, fault, last = run(work, use, wait=0.05)
    assert (first, last) == ([("a", 2)], [("a", 4)])
    assert isinstance(fault, ValueError)
    assert ("a", [1, 0, 2]) in work.batches


def test_what_nobody_waits_for_is_not_done() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        work.may_go_on.clear()
        first = asyncio.create_task(batcher.ask("a", items(1)))
        await asyncio.sleep(0.05)
        leaves = asyncio.create_task(batcher.ask("a", items(2, 3)))
        stays = asyncio.create_task(batcher.ask("a", items(4)))
        await asyncio.sleep(0)
        assert batcher.waiting == 3
        leaves.cancel()
        await asyncio.wait([leaves])
        assert batcher.waiting == 1
        work.may_go_on.set()
        await asyncio.gather(first, stays)

    run(work, use)
    assert work.batches == [("a", [1]), ("a", [4])]


def test_what_was_accepted_is_done_before_the_end() -> None:
    work = Work()
    asked: list[asyncio.Task[Any]] = []

    async def use(batcher: Batcher) -> None:
        asked.extend(asyncio.create_task(batcher.ask(key, items(n))) for n, key in enumerate("ab", start=1))
        await asyncio.sleep(0)

    async def within() -> list[Any]:
        async with Batcher(work, batch_size=8, wait=60.0, capacity=9) as batcher:
            await use(batcher)
        with pytest.raises(Overloaded):
            await batcher.ask("a", items(5))
        return await asyncio.gather(*asked)

    assert asyncio.run(within()) == [[("a", 2)], [("b", 4)]]
