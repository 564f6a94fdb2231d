import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from atonce.errors import RecipeError
from atonce.models import device
from atonce.models.device import KEPT_BYTES, check_room, choose_device, free_memory


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


def test_some_memory_is_free() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or 2**20 < free < 2**50
    assert free_memory(torch.device("meta")) is None


def test_the_tightest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limits in (("_of_machine", [500]), ("_of_control_groups", [300, 400]), ("_of_limits", [])):
        monkeypatch.setattr(device, name, lambda *_, limits=limits: iter(limits))
    assert free_memory(torch.device("cpu")) == 300
    monkeypatch.setattr(device, "_of_limits", lambda: iter([7]))
    assert free_memory(torch.device("cpu")) == 7


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_containers(version: int, tmp_path: Path) -> None:
    """Of its own group and of those around it; what is cached could be given back."""
    root = tmp_path / "memory" if version == 1 else tmp_path
    limit, usage, cached = device._GROUPS["memory" if version == 1 else ""]
    for group, most, used, stat in (("", "max", 50, 0), ("a", "1000", 800, 100), ("a/b", "900", 300, 10)):
        (root / group).mkdir(parents=True, exist_ok=True)
        (root / group / limit).write_text(f"{most}\n")
        (root / group / usage).write_text(f"{used}\n")
        (root / group / "memory.stat").write_text(f"anon 5\n{cached} {stat}\n")
    listed = tmp_path / "groups"
    listed.write_text("4:cpu,memory:/a/b\n3:cpu:/x\n" if version == 1 else "0::/a/b\n")
    assert sorted(device._of_control_groups(listed, tmp_path)) == [300, 610]
    assert list(device._of_control_groups(tmp_path / "none", tmp_path)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_limit_of_the_address_space(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    most = 2**50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (most, most))
    (left,) = device._of_limits()
    assert most - 2**45 < left < most
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert list(device._of_limits()) == [0]


def test_what_is_refused_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "free_memory", lambda _: 2 * 2**30)
    parts = {"a little": 10, "weights": 2**30, "states": 3 * 2**30}
    with pytest.raises(RecipeError) as refused:
        check_room(parts, torch.device("cpu"), of="this", fix="less")
    assert refused.value.what == "this takes at least 4.0 GiB of memory, and 2.0 GiB are free"
    assert refused.value.why == "3.0 GiB for states, 1.0 GiB for weights"
    check_room({"weights": 2 * 2**30}, torch.device("cpu"), of="this", fix="less")
