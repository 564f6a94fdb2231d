import threading
from contextvars import Context
from time import sleep

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compiling import kernels_or_skip

kernels_or_skip()

from atonce.fast import threads  # noqa: E402
from atonce.pauses import pause, pausing  # noqa: E402


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine has."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@given(st.integers(1, 50), st.sampled_from([1, threads.WORTH_IT // 10, threads.WORTH_IT]))
def test_every_row_is_dealt_out_once(count: int, products: int) -> None:
    dealt: list[int] = []
    threads.deal(lambda first, last: dealt.extend(range(first, last)), count, products)
    assert sorted(dealt) == list(range(count))


def test_little_work_stays_on_this_thread_and_much_does_not() -> None:
    def names(products: int) -> set[str]:
        found: set[str] = set()

        def work(first: int, last: int) -> None:
            sleep(0.01)
            found.add(threading.current_thread().name)

        threads.deal(work, 4, products)
        return found

    assert names(1) == {threading.current_thread().name}
    assert len(names(threads.WORTH_IT)) == 2


def test_a_fault_on_another_thread_is_raised_here() -> None:
    def work(first: int, last: int) -> None:
        if first > 0:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.deal(work, 4, threads.WORTH_IT)


@pytest.mark.parametrize("items", [[], [3], [3, 1, 2, 5]])
def test_results_are_in_order(items: list[int]) -> None:
    def work(item: int) -> int:
        sleep(item / 1000)
        return 10 * item

    assert list(threads.map_batches(work, items)) == [10 * item for item in items]


def test_a_fault_in_one_ends_all() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        sleep(0.01)
        if item == 0:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(threads.map_batches(work, range(100)))
    sleep(0.1)  # in which others would have had their turn
    assert len(begun) < 10


def test_one_item_has_all_threads_and_several_have_one_each() -> None:
    def parts(_: int) -> int:
        calls: list[int] = []
        threads.deal(lambda first, last: calls.append(first), 4, threads.WORTH_IT)
        return len(calls)

    assert list(threads.map_batches(parts, [0])) == [2]
    assert list(threads.map_batches(parts, [0, 0, 0])) == [1, 1, 1]


def test_torch_keeps_to_one_thread_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    before = torch.get_num_threads()
    assert list(threads.map_batches(lambda _: torch.get_num_threads(), [0])) == [1]
    assert torch.get_num_threads() == before


class Left(BaseException):
    """Nobody waits."""


def test_what_comes_between_is_done_at_once_with_all_threads_while_batches_stand_still() -> None:
    over, steps, between = threading.Event(), [0], list[object]()

    def work(item: int) -> int:
        for _ in range(10_000):
            if over.is_set():
                return item
            sleep(0.001)
            steps[0] += 1
            pause()
        raise TimeoutError

    def rows() -> set[str]:
        names = set[str]()

        def note(first: int, last: int) -> None:
            sleep(0.01)
            names.add(threading.current_thread().name)

        threads.deal(note, 4, threads.WORTH_IT)
        return names

    def meanwhile() -> None:
        if steps[0] > 0 and not over.is_set():
            Context().run(come_between)  # as a server does it

    def come_between() -> None:
        sleep(0.05)  # in which the steps that were begun are done
        before = steps[0]
        between.append(len(rows()))
        between.append(list(threads.map_batches(lambda item: item, [1, 2, 3])))
        sleep(0.02)
        between.append(steps[0] - before)
        over.set()

    with pausing(meanwhile):
        assert list(threads.map_batches(work, [5, 6, 7, 8])) == [5, 6, 7, 8]
    assert between == [2, [1, 2, 3], 0]


def test_batches_end_at_their_next_step_when_nobody_waits_for_them() -> None:
    steps: list[int] = []

    def work(item: int) -> None:
        for _ in range(2_000):
            sleep(0.001)
            steps.append(item)
            pause()

    def leave() -> None:
        if steps:
            raise Left

    with pytest.raises(Left), pausing(leave):
        list(threads.map_batches(work, range(100)))
    sleep(0.05)
    done = len(steps)
    sleep(0.05)
    assert len(steps) == done
    assert set(steps) <= {0, 1}


def test_quick_batches_pause_too() -> None:
    paused: list[int] = []
    with pausing(lambda: paused.append(1)):
        list(threads.map_batches(lambda item: item, range(50)))
    assert len(paused) >= 50
