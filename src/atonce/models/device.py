"""Where models run, and how much memory there is."""

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from atonce.errors import RecipeError

KEPT_BYTES = 256 * 2**20
"""Of memory that was given back, at most so much stays with the process for what comes next."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_FROM_THE_HEAP = 32 * 2**20  # glibc allows no more


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or a GPU where there is one, or else the CPU."""
    if device is None:
        # Not `torch.cuda.is_available`: other accelerators of torch count as well.
        device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
    chosen = torch.device(device)
    if chosen.type == "cpu":
        _keep_freed_memory()
    return chosen


def give_memory_back() -> None:
    """Give the system what is free in the middle of the heap, where glibc itself gives nothing back.

    For a process that lives long, after work that was larger than usual: it takes milliseconds.
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of glibc; None where the C library is another."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep what tensors give back, unless its own variables say otherwise.

    Else it hands large pieces back to the system at once, and the next tensor of that size is cleared and
    mapped page by page again: greedy search in eight bits took 0.44 s without that and 0.55 s with it.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        # Both: beyond the one a tensor is mapped by itself, and given back at once; beyond the other the
        # heap's end is.
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_THE_HEAP)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def check_room(parts: Mapping[str, int], device: torch.device, *, of: str, fix: str) -> None:
    """Raises RecipeError where more bytes are wanted than there are, with the parts that they are for.

    `parts`: bytes by what they are for. `of`: what wants them; `fix`: what to lower, and to what.
    """
    wanted, free = sum(parts.values()), free_memory(device)
    # What this process keeps (`_keep_freed_memory`) does not count as free until it is given back.
    if free is not None and wanted > free and device.type == "cpu":
        give_memory_back()
        free = free_memory(device)
    if free is None or wanted <= free:
        return
    largest = sorted(parts.items(), key=lambda part: -part[1])
    listed = ", ".join(f"{in_units(size)} for {name}" for name, size in largest if size > 0.01 * wanted)
    where = "" if device.type == "cpu" else f" on {device}"
    raise RecipeError(
        f"{of} takes at least {in_units(wanted)} of memory, and {in_units(free)} are free{where}",
        why=listed,
        fix=fix,
    )


def in_units(size: int) -> str:
    """Bytes as people write them."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size / 2**10:,.1f} KiB"


def free_memory(device: torch.device) -> int | None:
    """Bytes that could be allocated now; None where the system does not say.

    On a CPU: what the machine has, and what the limits of a container or of `ulimit -v` leave of it.
    """
    if device.type == "cuda":
        # What torch holds and no tensor has: the driver counts it as used.
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved
    if device.type != "cpu":
        return None
    # The narrowest of all: each is an end by itself.
    return min((*_of_machine(), *_of_control_groups(Path("/proc/self/cgroup")), *_of_limits()), default=None)


def _of_machine() -> Iterator[int]:
    """Free memory, with what is cached and could be given back, and what could be swapped out."""
    found = _meminfo()
    if "MemAvailable" in found:
        yield found["MemAvailable"] + _free_swap()
        return
    with suppress(OSError, ValueError, AttributeError):  # not Linux: all that there is
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


_GROUPS = {
    "": ("memory.max", "memory.current", ("inactive_file", "active_file", "slab_reclaimable")),
    "memory": (
        "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"),
    ),
}  # fmt: skip
"""Of version 2 of Linux's control groups, and of version 1: the limit, what is used, and what of that the
system takes back when it needs it."""
_SWAP = {
    "": ("memory.swap.max", "memory.swap.current"),
    "memory": ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"),
}
"""Likewise, of swap; in version 1, of memory and swap together."""


def _of_control_groups(listed: Path, mounted: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What the limits of the groups that this process is in leave, from its own to the outermost."""
    lines = []
    with suppress(OSError):
        lines = listed.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in {"memory", ""} & set(controllers.split(",")):
            limit, usage, cached = _GROUPS[name]
            root = mounted / name
            inner = root / path.lstrip("/")
            # A group is held to the limits of those around it, too.
            for group in (inner, *inner.parents):
                if not group.is_relative_to(root):
                    break
                left = _left(group, limit, usage)
                if left is None:
                    continue
                with suppress(OSError, ValueError):
                    stat = dict(one.split() for one in (group / "memory.stat").read_text().splitlines())
                    cached_bytes = sum(int(stat.get(kind, 0)) for kind in cached)
                    yield max(0, left + cached_bytes + _swap_of(group, name, left))


def _left(group: Path, limit: str, usage: str) -> int | None:
    """What a limit leaves; None where there is none."""
    with suppress(OSError, ValueError):  # "max" is no number
        return int((group / limit).read_text()) - int((group / usage).read_text())
    return None


def _swap_of(group: Path, name: str, left: int) -> int:
    """What of a group's memory could be swapped out, of which a limit leaves `left`."""
    free, allowed = _free_swap(), _left(group, *_SWAP[name])
    if allowed is None:
        return free
    return max(0, min(free, allowed - left if name == "memory" else allowed))


def _free_swap() -> int:
    return _meminfo().get("SwapFree", 0)


def _meminfo() -> dict[str, int]:
    """Bytes of /proc/meminfo, by name; nothing where there is none."""
    with suppress(OSError, ValueError):
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        return {name.rstrip(":"): 1024 * int(size) for name, size, *_ in lines}
    return {}


def _of_limits() -> Iterator[int]:
    """What a limit of the address space leaves."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            # An end of addresses: what is mapped counts, whether it is used or not (the first number of
            # statm).
            yield max(0, most - pages * os.sysconf("SC_PAGE_SIZE"))
