"""Masks. True means "is real" or "may look", here and everywhere."""

import torch
from torch import Tensor

from atonce.shapes import Bool, Int


def padding_mask(lengths: Int[Tensor, " batch"], max_len: int) -> Bool[Tensor, "batch max_len"]:
    """True where a position is real, False where it is padding."""
    return torch.arange(max_len, device=lengths.device) < lengths[:, None]
