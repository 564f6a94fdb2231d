"""Masks, and what goes by them. True means "is real" or "may look", here and everywhere."""

import torch
from torch import Tensor

from atonce.shapes import Bool, Float, Int


def padding_mask(lengths: Int[Tensor, " batch"], max_len: int) -> Bool[Tensor, "batch max_len"]:
    """True where a position is real, False where it is padding."""
    return torch.arange(max_len, device=lengths.device) < lengths[:, None]


def window_mask(
    query_len: int, key_len: int, window: int | None, *, causal: bool, device: torch.device | None = None
) -> Bool[Tensor, "1 query_len key_len"] | None:
    """True where a query may look: up to `window` positions away, and at itself.

    On both sides (Beltagy 2020, section 3.1), or with `causal` only back (Jiang 2023, section 2). The queries
    are the last `query_len` of the `key_len` positions. None where the window hides nothing.
    """
    if window is None or window >= key_len - 1:
        return None
    position = torch.arange(key_len, device=device)
    back = position[key_len - query_len :, None] - position
    near = back.abs() <= window
    return (near & (back >= 0) if causal else near)[None]


def mean_of_real(
    states: Float[Tensor, "batch len dim"], mask: Bool[Tensor, "batch len"]
) -> Float[Tensor, "batch dim"]:
    """The mean of each row's real positions. `mask`: True where a position is real."""
    real = mask[..., None].to(states.dtype)
    # Never by zero: the end of a sentence is a real position, and so is a column of any image.
    return (states * real).sum(1) / real.sum(1)


def attendable(mask: Bool[Tensor, "batch len"]) -> Bool[Tensor, "batch 1 len"] | None:
    """The mask that every query shares; None where nothing is padding: kernels without a mask are faster."""
    return None if mask.all() else mask[:, None]


def nearby(mask: Bool[Tensor, "batch len"], window: int | None) -> Bool[Tensor, "#batch #len len"] | None:
    """Where each position may look: at real ones, within the window; None where everywhere."""
    real = attendable(mask)
    near = window_mask(mask.shape[1], mask.shape[1], window, causal=False, device=mask.device)
    return real if near is None else near if real is None else near & real
