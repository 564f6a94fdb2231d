import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.pauses import pause
from atonce.serve import batching
from atonce.serve.batching import PATIENCE, SHARES, Batcher, Item, Overloaded

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


def test_those_who_ask_and_leave_while_others_are_waited_for_leave_nothing_behind() -> None:
    """They once left a call each on the stack of the thread, which a thousand of them ended."""

    def depth() -> int:
        (thread,) = (one for one in threading.enumerate() if one.name == "models")
        assert thread.ident is not None
        return len(list(traceback.walk_stack(sys._current_frames()[thread.ident])))

    async def use(batcher: Batcher) -> list[Any]:
        await batcher.ask("a", items(1))
        before = depth()
        for _ in range(40):
            leaves = asyncio.create_task(batcher.ask("a", items(2)))
            await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.sleep(0.004)  # longer than others are waited for
        assert depth() <= before + 5
        assert batcher.is_working
        return await batcher.ask("a", items(3))

    assert run(Work(), use, wait=0.002) == [("a", 6)]


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


class Steps:
    """Work of many steps of a hundredth of a second: as many as its content says. Notes who did which."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.begun = threading.Event()

    def __call__(self, key: str, contents: list[int]) -> list[str]:
        self.begun.set()
        for _ in range(max(contents)):
            time.sleep(0.01)
            self.done.append(key)
            pause()
        return [key] * len(contents)


def steps(work: Steps, use: Callable[[Batcher], Coroutine[Any, Any, Any]]) -> Any:
    async def within() -> Any:
        async with Batcher(work, batch_size=8, wait=0.0, capacity=100) as batcher:
            return await use(batcher)

    return asyncio.run(within())


async def begun(work: Steps) -> None:
    assert await asyncio.to_thread(work.begun.wait, 10)


def test_what_is_more_urgent_comes_between_the_steps_of_a_long_one() -> None:
    work = Steps()

    async def use(batcher: Batcher) -> list[str]:
        long = asyncio.create_task(batcher.ask("long", items(1_000), urgency=2))
        await begun(work)
        (answer,) = await batcher.ask("short", items(2), urgency=0)
        assert not long.done()
        long.cancel()
        return [answer]

    assert steps(work, use) == ["short"]
    first = work.done.index("short")
    assert work.done[first : first + 2] == ["short", "short"]
    assert set(work.done[:first]) == {"long"}


def test_what_is_as_urgent_waits_for_its_turn() -> None:
    work = Steps()

    async def use(batcher: Batcher) -> None:
        long = asyncio.create_task(batcher.ask("first", items(10), urgency=1))
        await begun(work)
        await batcher.ask("second", items(1), urgency=1)
        await long

    steps(work, use)
    assert work.done == ["first"] * 10 + ["second"]


def test_work_stops_at_the_next_step_when_nobody_waits_for_it() -> None:
    work = Steps()

    async def use(batcher: Batcher) -> None:
        leaves = asyncio.create_task(batcher.ask("left", items(100_000)))
        await begun(work)
        leaves.cancel()
        await asyncio.wait([leaves])
        assert await batcher.ask("next", items(1)) == ["next"]

    steps(work, use)  # and not after a thousand seconds
    assert work.done[-1] == "next"


def test_work_goes_on_while_one_of_a_batch_waits_for_it() -> None:
    work = Steps()

    async def use(batcher: Batcher) -> list[str]:
        first = asyncio.create_task(batcher.ask("a", items(3)))
        await begun(work)
        leaves = asyncio.create_task(batcher.ask("b", items(30)))
        stays = asyncio.create_task(batcher.ask("b", items(30)))
        await first
        await asyncio.sleep(0.1)
        leaves.cancel()
        return await stays

    assert steps(work, use) == ["b"]
    assert work.done.count("b") == 30


class Clock:
    """Stands in for the module `time`; it goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(batching, "time", found)
    return found


def test_long_work_keeps_its_share_when_short_work_never_ends(clock: Clock) -> None:
    """Each step of the long one lets as many others by as their shares say."""
    steps, done = 10, list[str]()
    begun, over = threading.Event(), threading.Event()

    async def within() -> None:
        def work(key: str, contents: list[int]) -> list[str]:
            begun.set()
            for _ in range(contents[0]):
                while not (batcher.waiting or over.is_set()):  # some short work always waits
                    time.sleep(0.0001)
                clock.now += 1
                done.append(key)
                if done.count("long") == steps:
                    over.set()
                pause()
            return [key]

        async def ask_on(key: str) -> None:
            while not over.is_set():
                await batcher.ask(key, items(1), urgency=0)

        async with Batcher(work, batch_size=8, wait=0.0, capacity=100) as batcher:
            long = asyncio.create_task(batcher.ask("long", items(steps), urgency=2))
            assert await asyncio.to_thread(begun.wait, 10)
            await asyncio.gather(ask_on("a"), ask_on("b"), long)

    asyncio.run(within())
    between, share = sum(key != "long" for key in done), steps * SHARES[0] // SHARES[2]
    assert share / 2 < between < 1.2 * share


@pytest.mark.parametrize("before", range(len(SHARES)))
def test_nothing_is_owed_of_a_time_that_is_over(clock: Clock, before: int) -> None:
    turns = an_hour_of(before, clock)
    turns.joins(2, [])
    with turns.at(2):
        turns.joins(0, [])
        clock.now += 1
        assert turns.before(2, [0]) == 0  # small work is let in at once
        with turns.at(0):
            clock.now += 16
        assert turns.before(2, [0]) is None  # and has had its share then
        clock.now += 2
        assert turns.before(2, [0]) == 0


@pytest.mark.parametrize("before", range(len(SHARES)))
def test_nothing_is_owed_by_who_worked_while_there_was_time(clock: Clock, before: int) -> None:
    turns = an_hour_of(before, clock)
    turns.joins(0, [])
    with turns.at(0):
        turns.joins(2, [])
        clock.now += 1
    assert turns.next([0, 2]) == 2


def an_hour_of(urgency: int, clock: Clock) -> batching._Turns:
    """And then nothing."""
    turns = batching._Turns()
    turns.joins(urgency, [])
    with turns.at(urgency):
        clock.now += 3_600
    return turns


def test_what_comes_between_knows_nothing_of_what_is_around_it() -> None:
    """Or a translation would be watched on behalf of somebody else."""
    watched: ContextVar[str] = ContextVar("watched", default="nobody")
    seen: list[tuple[str, str]] = []
    begun = threading.Event()

    def work(key: str, contents: list[int]) -> list[str]:
        if key == "outer":
            watched.set("outer")
        begun.set()
        for _ in range(contents[0]):
            seen.append((key, watched.get()))
            time.sleep(0.01)
            pause()
        return [key]

    async def within() -> None:
        async with Batcher(work, batch_size=8, wait=0.0, capacity=9) as batcher:
            long = asyncio.create_task(batcher.ask("outer", items(50), urgency=2))
            assert await asyncio.to_thread(begun.wait, 10)
            await batcher.ask("inner", items(1))
            await long

    asyncio.run(within())
    assert set(seen) == {("outer", "outer"), ("inner", "nobody")}
    assert seen[-1] == ("outer", "outer")


def test_an_error_among_the_answers_is_of_who_asked() -> None:
    def work(key: str, contents: list[int]) -> list[Any]:
        return [ValueError("odd") if content % 2 else content for content in contents]

    async def within() -> list[Any]:
        async with Batcher(work, batch_size=8, wait=0.0, capacity=9) as batcher:
            asked = [batcher.ask("a", items(number)) for number in (1, 2)]
            return await asyncio.gather(*asked, return_exceptions=True)

    fault, answer = asyncio.run(within())
    assert isinstance(fault, ValueError)
    assert answer == [2]


def test_large_requests_do_not_take_the_places_of_small_ones() -> None:
    work = Work()

    async def use(batcher: Batcher) -> list[Any]:
        work.may_go_on.clear()
        large = asyncio.create_task(batcher.ask("a", items(1, 2, 3), urgency=2))
        await asyncio.sleep(0.05)
        more = asyncio.create_task(batcher.ask("a", items(4, 5, 6), urgency=2))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.ask("a", items(7), urgency=2)
        small = asyncio.create_task(batcher.ask("b", items(8), urgency=0))
        await asyncio.sleep(0)
        work.may_go_on.set()
        await asyncio.gather(large, more)
        return await small

    assert run(work, use, capacity=3) == [("b", 16)]
    assert work.batches.index(("b", [8])) == 1
