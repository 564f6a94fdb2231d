import ctypes
import os
import sys
from collections.abc import Iterator

import pytest
import torch

from atonce.models import device
from atonce.models.device import KEPT_BYTES, choose_device


class Glibc:
    """Notes down what is asked of it."""

    def __init__(self) -> None:
        self.settings: list[int] = []

    def mallopt(self, _: int, value: int) -> int:
        self.settings.append(value)
        return 1


@pytest.fixture
def glibc(monkeypatch: pytest.MonkeyPatch) -> Iterator[Glibc]:
    library = Glibc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    device._keep_freed_memory.cache_clear()
    yield library
    device._keep_freed_memory.cache_clear()


def test_a_device_asked_for_is_taken(glibc: Glibc) -> None:
    assert choose_device("meta") == torch.device("meta")
    assert glibc.settings == []


def test_on_a_cpu_freed_memory_is_kept(glibc: Glibc) -> None:
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")
    assert glibc.settings == [32 * 2**20, KEPT_BYTES], "once"


def test_who_has_set_the_allocator_is_left_alone(glibc: Glibc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    choose_device("cpu")
    assert glibc.settings == []


def test_other_systems_are_left_alone(glibc: Glibc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    choose_device("cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    device._keep_freed_memory.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # as musl's, without mallopt
    choose_device("cpu")
    assert glibc.settings == []
