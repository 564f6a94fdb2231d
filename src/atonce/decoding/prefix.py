"""A beginning that outputs must have: its pieces are taken in, and search goes on behind it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from atonce.models.interface import Decoder, Memory, State
from atonce.pauses import pause
from atonce.shapes import Float, Int


class Begun(NamedTuple):
    """Where search begins: one beginning of each sentence, the same pieces for all."""

    token: Int[Tensor, " batch"]
    """The last piece, which is not taken in yet: `bos` where nothing is forced."""
    totals: Float[Tensor, "batch 1"]
    """Log-probabilities of the forced pieces together, among all pieces: 0 where nothing is forced."""
    state: State
    """Of the decoder, before `token`."""


def begin(decoder: Decoder, memory: Memory, bos: int, prefix: Sequence[int] = ()) -> Begun:
    """Take in `bos` and `prefix`, the pieces that every output begins with, but the last of them."""
    state = decoder.start(memory)
    token = torch.full((len(memory.mask),), bos, device=memory.mask.device)
    totals = memory.states.new_zeros(len(token), 1)
    for piece in prefix:
        logits, state = decoder.step(token, state)
        totals = totals + logits.log_softmax(-1)[:, piece, None]
        token = torch.full_like(token, piece)
        pause()
    return Begun(token, totals, state)


def behind(prefix: Sequence[int], max_lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """`max_lengths`, or more where they leave no room for a piece behind `prefix`."""
    return max_lengths.clamp(min=len(prefix) + 1) if prefix else max_lengths
