"""What there is to measure of a whole model: how it learns, and how it writes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from atonce.models.size_matching import with_width
from atonce.shapes import Float, Int
from atonce.studies.measurement.layers import DIM

VOCAB = 16
"""Pieces of what is counted. Chains do not depend on it; work does."""


def small(config: ModelConfig, dim: int = DIM, vocab: int = VOCAB) -> Seq2Seq:
    """The architecture in a width that is quickly measured, with random weights, without dropout."""
    torch.manual_seed(0)
    return build_model(with_width(config, dim), vocab).eval()


def vocab_of(model: Seq2Seq) -> int:
    """How many pieces it knows."""
    return len(model.decoder.output.weight)


def sentences(
    length: int, vocab: int = VOCAB, batch: int = 1
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"]]:
    """Sources and targets of random pieces, the same each time."""
    draw = torch.Generator().manual_seed(length)
    source, target = torch.randint(3, vocab, (2, batch, length), generator=draw)
    return source, target


def teacher_forced(model: Seq2Seq) -> Callable[[Tensor, Tensor], Tensor]:
    """Scores of every piece of a known target, as in training."""

    def run(
        source: Int[Tensor, "batch length"], target: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length vocab"]:
        return model.decoder.logits(model(source, torch.ones_like(source, dtype=torch.bool), target))

    return run


def training_step(model: Seq2Seq) -> Callable[[Tensor, Tensor], Tensor]:
    """The same, with the gradients of all weights."""
    scores = teacher_forced(model)

    def run(
        source: Int[Tensor, "batch length"], target: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length vocab"]:
        model.zero_grad()  # or the sum with what is left of the step before would be measured too
        found = scores(source, target)
        (-found.log_softmax(-1).gather(2, target[..., None]).mean()).backward()
        return found

    return run


def generation(model: Seq2Seq) -> Callable[[Tensor, Any], Tensor]:
    """As many pieces as the target has, each the likeliest after those before."""

    @torch.no_grad()
    def run(
        source: Int[Tensor, "batch length"], target: Int[Tensor, "batch length"]
    ) -> Int[Tensor, "batch length"]:
        memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
        state = model.decoder.start(memory)
        token, tokens = target[:, 0], []
        for _ in range(target.shape[1]):
            scores, state = model.decoder.step(token, state)
            token = scores.argmax(-1)
            tokens.append(token)
        return torch.stack(tokens, dim=1)

    return run
