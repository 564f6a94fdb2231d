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


FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file"),
    2: ("memory.max", "memory.current", "inactive_file", "active_file"),
}
"""As Linux names them."""


def container(mounted: Path, version: int, name: str, *, most: str, used: int, stat: dict[str, int]) -> Path:
    """A control group; `stat`: what of it is cached, by the names of version 2."""
    group = (mounted / "memory" if version == 1 else mounted) / name
    group.mkdir(parents=True, exist_ok=True)
    (group / FILES[version][0]).write_text(f"{most}\n")
    (group / FILES[version][1]).write_text(f"{used}\n")
    before = "total_" if version == 1 else ""
    lines = ["anon 5", *(f"{before}{kind} {size}" for kind, size in stat.items())]
    (group / "memory.stat").write_text("\n".join(lines) + "\n")
    return group


def left_of(mounted: Path, version: int, name: str) -> list[int]:
    listed = mounted / "groups"
    listed.write_text(f"4:cpu,memory:/{name}\n3:cpu:/x\n" if version == 1 else f"0::/{name}\n")
    return sorted(device._of_control_groups(listed, mounted))


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_containers(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its own group and of those around it; what is cached could be given back, whether read lately or
    not."""
    monkeypatch.setattr(device, "_free_swap", lambda: 0)
    stats = {"inactive_file": 60, "active_file": 40}
    container(tmp_path, version, "", most="max", used=50, stat={})
    container(tmp_path, version, "a", most="1000", used=800, stat=stats)
    container(tmp_path, version, "a/b", most="900", used=300, stat={"active_file": 10})
    assert left_of(tmp_path, version, "a/b") == [300, 610]
    assert list(device._of_control_groups(tmp_path / "none", tmp_path)) == []


def test_what_the_kernel_keeps_for_files_could_be_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_free_swap", lambda: 0)
    container(tmp_path, 2, "a", most="1000", used=800, stat={"slab_reclaimable": 7, "slab": 9})
    assert left_of(tmp_path, 2, "a") == [207]


@pytest.mark.parametrize(("version", "limit", "left"), [(2, "30", 230), (1, "1030", 230), (2, "max", 700)])
def test_a_container_can_swap_as_far_as_it_is_allowed_to(
    version: int, limit: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_free_swap", lambda: 500)
    group = container(tmp_path, version, "a", most="1000", used=800, stat={})
    assert left_of(tmp_path, version, "a") == [700], "swap is not counted by the kernel"
    kind = ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes")
    names = kind if version == 1 else ("memory.swap.max", "memory.swap.current")
    (group / names[0]).write_text(f"{limit}\n")
    (group / names[1]).write_text("800\n" if version == 1 else "0\n")
    assert left_of(tmp_path, version, "a") == [left]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_limit_of_the_address_space(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    most = 2**50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (most, most))
    (left,) = device._of_limits()
    assert most - 2**45 < left < most
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert list(device._of_limits()) == [0]


def test_what_the_process_keeps_for_later_is_given_back_before_anything_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = [100]
    monkeypatch.setattr(device, "free_memory", lambda _: free[0])
    monkeypatch.setattr(device, "give_memory_back", lambda: free.append(free.pop() + 50))
    check_room({"weights": 150}, torch.device("cpu"), of="this", fix="less")
    with pytest.raises(RecipeError):
        check_room({"weights": 10**4}, torch.device("cpu"), of="this", fix="less")


def test_what_is_refused_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "free_memory", lambda _: 2 * 2**30)
    parts = {"a little": 10, "weights": 2**30, "states": 3 * 2**30}
    with pytest.raises(RecipeError) as refused:
        check_room(parts, torch.device("cpu"), of="this", fix="less")
    assert refused.value.what == "this takes at least 4.0 GiB of memory, and 2.0 GiB are free"
    assert refused.value.why == "3.0 GiB for states, 1.0 GiB for weights"
    check_room({"weights": 2 * 2**30}, torch.device("cpu"), of="this", fix="less")
