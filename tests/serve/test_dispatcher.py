import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atonce.decoding.translator import Translator
from atonce.models.threads import computing_on
from atonce.pauses import pause
from atonce.serve import dispatcher
from atonce.serve.dispatcher import (
    LONGEST_RETRY_AFTER,
    SHARES,
    Batcher,
    CallJob,
    Item,
    Overloaded,
    run_job,
)
from atonce.serve.limits import Limits
from atonce.serve.translate import TranslateJob
from compiling import needs_kernels

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
        return await asyncio.gather(
            *(batcher.submit(key, items(*numbers, size=size)) for key, numbers in asked)
        )

    found = run(work, use, batch_size=batch_size)
    assert found == [[(key, 2 * number) for number in numbers] for key, numbers in asked]
    assert sorted(n for _, batch in work.batches for n in batch) == sorted(n for _, ns in asked for n in ns)
    assert all(len(batch) * size <= batch_size or len(batch) == 1 for _, batch in work.batches)


def test_what_comes_while_others_are_worked_on_is_one_batch() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        work.may_go_on.clear()
        first = asyncio.create_task(batcher.submit("a", items(1)))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher.submit("a", items(number))) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        work.may_go_on.set()
        await asyncio.gather(first, *others)

    run(work, use)
    assert work.batches == [("a", [1]), ("a", [2, 3, 4])]


def test_the_first_waits_for_others_until_a_batch_is_full() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit("a", items(1)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.submit("a", items(2, 3)))

    run(work, use, batch_size=3, wait=60.0)  # and not for a minute
    assert work.batches == [("a", [1, 2, 3])]


def test_the_oldest_wish_comes_first_and_others_keep_their_turn() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        work.may_go_on.clear()
        tasks = [asyncio.create_task(batcher.submit(key, items(n))) for n, key in enumerate("abbab", start=1)]
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
        first = asyncio.create_task(batcher.submit("a", items(1)))
        await asyncio.sleep(0.05)
        waits = asyncio.create_task(batcher.submit("a", items(2, 3)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refusal:
            await batcher.submit("a", items(4))
        assert 1 <= refusal.value.retry_after <= LONGEST_RETRY_AFTER
        work.may_go_on.set()
        return await asyncio.gather(first, waits)

    assert run(work, use, capacity=2) == [[("a", 2)], [("a", 4), ("a", 6)]]


def test_who_is_at_fault_fails_alone() -> None:
    work = Work()

    async def use(batcher: Batcher) -> list[Any]:
        asked = [batcher.submit("a", items(number)) for number in (1, 0, 2)]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, fault, last = run(work, use, wait=0.05)
    assert (first, last) == ([("a", 2)], [("a", 4)])
    assert isinstance(fault, ValueError)
    assert ("a", [1, 0, 2]) in work.batches


def test_what_nobody_waits_for_is_not_done() -> None:
    work = Work()

    async def use(batcher: Batcher) -> None:
        work.may_go_on.clear()
        first = asyncio.create_task(batcher.submit("a", items(1)))
        await asyncio.sleep(0.05)
        leaves = asyncio.create_task(batcher.submit("a", items(2, 3)))
        stays = asyncio.create_task(batcher.submit("a", items(4)))
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
        await batcher.submit("a", items(1))
        before = depth()
        for _ in range(40):
            leaves = asyncio.create_task(batcher.submit("a", items(2)))
            await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.sleep(0.004)  # longer than others are waited for
        assert depth() <= before + 5
        assert batcher.is_alive
        return await batcher.submit("a", items(3))

    assert run(Work(), use, wait=0.002) == [("a", 6)]


def test_what_was_accepted_is_done_before_the_end() -> None:
    work = Work()
    asked: list[asyncio.Task[Any]] = []

    async def use(batcher: Batcher) -> None:
        asked.extend(
            asyncio.create_task(batcher.submit(key, items(n))) for n, key in enumerate("ab", start=1)
        )
        await asyncio.sleep(0)

    async def within() -> list[Any]:
        async with Batcher(work, batch_size=8, wait=60.0, capacity=9) as batcher:
            await use(batcher)
        with pytest.raises(Overloaded):
            await batcher.submit("a", items(5))
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
        long = asyncio.create_task(batcher.submit("long", items(1_000), priority=2))
        await begun(work)
        (answer,) = await batcher.submit("short", items(2), priority=0)
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
        long = asyncio.create_task(batcher.submit("first", items(10), priority=1))
        await begun(work)
        await batcher.submit("second", items(1), priority=1)
        await long

    steps(work, use)
    assert work.done == ["first"] * 10 + ["second"]


def test_work_stops_at_the_next_step_when_nobody_waits_for_it() -> None:
    work = Steps()

    async def use(batcher: Batcher) -> None:
        leaves = asyncio.create_task(batcher.submit("left", items(100_000)))
        await begun(work)
        leaves.cancel()
        await asyncio.wait([leaves])
        assert await batcher.submit("next", items(1)) == ["next"]

    steps(work, use)  # and not after a thousand seconds
    assert work.done[-1] == "next"


def test_work_goes_on_while_one_of_a_batch_waits_for_it() -> None:
    work = Steps()

    async def use(batcher: Batcher) -> list[str]:
        first = asyncio.create_task(batcher.submit("a", items(3)))
        await begun(work)
        leaves = asyncio.create_task(batcher.submit("b", items(30)))
        stays = asyncio.create_task(batcher.submit("b", items(30)))
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
    monkeypatch.setattr(dispatcher, "time", found)
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
                await batcher.submit(key, items(1), priority=0)

        async with Batcher(work, batch_size=8, wait=0.0, capacity=100) as batcher:
            long = asyncio.create_task(batcher.submit("long", items(steps), priority=2))
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


def an_hour_of(priority: int, clock: Clock) -> dispatcher._StrideScheduler:
    """And then nothing."""
    turns = dispatcher._StrideScheduler()
    turns.joins(priority, [])
    with turns.at(priority):
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
            long = asyncio.create_task(batcher.submit("outer", items(50), priority=2))
            assert await asyncio.to_thread(begun.wait, 10)
            await batcher.submit("inner", items(1))
            await long

    asyncio.run(within())
    assert set(seen) == {("outer", "outer"), ("inner", "nobody")}
    assert seen[-1] == ("outer", "outer")


def test_an_error_among_the_answers_is_of_who_asked() -> None:
    def work(key: str, contents: list[int]) -> list[Any]:
        return [ValueError("odd") if content % 2 else content for content in contents]

    async def within() -> list[Any]:
        async with Batcher(work, batch_size=8, wait=0.0, capacity=9) as batcher:
            asked = [batcher.submit("a", items(number)) for number in (1, 2)]
            return await asyncio.gather(*asked, return_exceptions=True)

    fault, answer = asyncio.run(within())
    assert isinstance(fault, ValueError)
    assert answer == [2]


def test_large_requests_do_not_take_the_places_of_small_ones() -> None:
    work = Work()

    async def use(batcher: Batcher) -> list[Any]:
        work.may_go_on.clear()
        large = asyncio.create_task(batcher.submit("a", items(1, 2, 3), priority=2))
        await asyncio.sleep(0.05)
        more = asyncio.create_task(batcher.submit("a", items(4, 5, 6), priority=2))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.submit("a", items(7), priority=2)
        small = asyncio.create_task(batcher.submit("b", items(8), priority=0))
        await asyncio.sleep(0)
        work.may_go_on.set()
        await asyncio.gather(large, more)
        return await small

    assert run(work, use, capacity=3) == [("b", 16)]
    assert work.batches.index(("b", [8])) == 1


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Whatever the machine has, and a user has said."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_what_comes_between_has_all_threads_and_the_other_its_own_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a large model would have one while a small one searches, and other last bits of its scores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr("atonce.models.threads._told", [])
    with computing_on(1):
        assert run_job(CallJob(torch.get_num_threads), [None], threads=2) == [2]
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


class CompiledSteps:
    """Counts the steps of a compiled translator's search."""

    def __init__(self, translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
        assert translator.model.engine is not None
        self.count = 0
        self.begun = threading.Event()
        self._advance = translator.model.engine.decoder.advance
        monkeypatch.setattr(translator.model.engine.decoder, "advance", self._counted)

    def _counted(self, *state: object) -> object:
        self.count += 1
        self.begun.set()
        time.sleep(0.0005)
        return self._advance(*state)  # type: ignore[arg-type]


@needs_kernels
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("texts", [["7 May 2001 " * 20], [f"{day} May 2000 " * 6 for day in range(1, 13)]])
def test_small_texts_come_between_the_batches_of_a_compiled_model(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    """Also while they are searched side by side; and what nobody waits for ends."""
    translator = Translator.load(runs["texts"], device="cpu", fast=True)
    translator.config = translator.config.model_copy(update={"batch_tokens": 100, "max_length_ratio": 1.0})
    job = TranslateJob(translator, beam=1, nbest=1, alignment=False, attention=False, limits=Limits())
    expected = [one.text for one in translator.translate([*texts, "1 May"], beam=1)]
    steps = CompiledSteps(translator, monkeypatch)

    async def within() -> None:
        work = partial(run_job, threads=torch.get_num_threads())
        async with Batcher(work, batch_size=10_000, wait=0.0, capacity=100) as batcher:

            async def begun() -> asyncio.Task[list[object]]:
                steps.begun.clear()
                asked = batcher.submit(job, [Item(text, 1) for text in texts], priority=2)
                task = asyncio.create_task(asked)
                assert await asyncio.to_thread(steps.begun.wait, 10)
                return task

            long = await begun()
            small = await batcher.submit(replace(job, nbest=2, beam=1), [Item("1 May", 1)])
            assert not long.done()
            assert [one.text for one in [*await long, *small]] == expected

            all_steps = steps.count
            left = await begun()
            left.cancel()
            await asyncio.wait([left])
            assert await batcher.submit(CallJob(torch.get_num_threads), [Item(None, 1)]) == [2]
            await asyncio.sleep(0.05)
            at_rest = steps.count
            await asyncio.sleep(0.1)
            assert steps.count == at_rest < all_steps * 1.5

    asyncio.run(within())
