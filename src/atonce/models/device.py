"""Where models run."""

import torch


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or a GPU where there is one, or else the CPU."""
    if device is not None:
        return torch.device(device)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
