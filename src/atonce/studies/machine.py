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
