"""Where models run."""

import ctypes
import os
import sys
from functools import cache
from typing import Any

import torch

KEPT_BYTES = 256 * 2**20
"""Of memory that was given back, at most so much stays with the process for what comes next."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_FROM_THE_HEAP = 32 * 2**20  # glibc allows no more


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or a GPU where there is one, or else the CPU."""
    if device is None:
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


@cache
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
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_THE_HEAP)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
