import threading

import pytest

from atonce.pauses import can_be_paused, pause, pausing


def test_nothing_happens_unless_somebody_said_what_shall() -> None:
    pause()
    assert not can_be_paused()
    with pausing(lambda: None):
        assert can_be_paused()


def test_who_began_the_computation_is_called_and_only_within_the_block() -> None:
    called: list[str] = []
    with pausing(lambda: called.append("outer")):
        pause()
        with pausing(lambda: called.append("inner")):
            pause()
        pause()
    pause()
    assert called == ["outer", "inner", "outer"]


def test_other_threads_are_not_paused() -> None:
    called: list[int] = []
    with pausing(lambda: called.append(1)):
        other = threading.Thread(target=pause)
        other.start()
        other.join()
    assert called == []


def test_what_it_raises_ends_the_computation() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pausing(stop):
        pause()
