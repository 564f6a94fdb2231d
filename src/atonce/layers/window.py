"""Windows: self-attention that sees no further than some positions."""

import torch
from torch import Tensor

from atonce.shapes import Bool


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
