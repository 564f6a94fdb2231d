"""What a study ran on, and how much memory there is and was taken."""

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DECISIVE = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni")
"""Instructions that decide how fast products in bfloat16 and in eight bits are, as `lscpu` names them."""


def machine() -> str:
    """What this ran on, in words: two processors of one name may differ in what they multiply fast."""
    import torch

    # Not os.cpu_count alone: in a container or under taskset a process may use fewer than there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    able = torch.cpu.get_capabilities()
    name = able.get("cpu_name") or platform.processor() or platform.machine()
    instructions = ", ".join(one for one in DECISIVE if able.get(one))
    name = f"{name} ({instructions})" if instructions else name
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores} cores, {name}{device}, torch {torch.__version__}"


def memory(device: "torch.device") -> int:
    """How many bytes of memory a device has; of a CPU where it cannot be told, 8 GiB."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has none of these
        return 8 * 2**30


def peak_memory() -> int | None:
    """The most bytes that this process ever held: of the GPU where it uses one, else of the machine."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        # Not getrusage: on Linux its maximum also counts what the process was that started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # macOS counts bytes, others kilobytes
