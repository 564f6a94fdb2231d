"""Masks. True means "is real" or "may look", here and everywhere."""

import torch
from torch import Tensor

from atonce.shapes import Bool, Int


def padding_mask(lengths: Int[Tensor, " batch"], max_len: int) -> Bool[Tensor, "batch max_len"]:
    """True where a position is real, False where it is padding."""
    return torch.arange(max_len, device=lengths.device) < lengths[:, None]


def causal_mask(length: int, device: torch.device | None = None) -> Bool[Tensor, "query_len key_len"]:
    """True where a position may look: at itself and at what came before it."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()
