"""What a study ran on."""

import os
import platform

import torch


def machine() -> str:
    """What this ran on, in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores} cores, {name}{device}, torch {torch.__version__}"


def memory(device: torch.device) -> int:
    """How many bytes of memory a device has; of a CPU where it cannot be told, 8 GiB."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has none of these
        return 8 * 2**30
