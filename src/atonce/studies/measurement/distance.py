"""How far influence goes: how much a state changes with each word around it, by their distance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from atonce.measure.influence import influence_on
from atonce.models.seq2seq import Seq2Seq
from atonce.shapes import Float
from atonce.studies.measurement.layers import DIM, LayerKind
from atonce.studies.measurement.phases import sentences, vocab_of
from atonce.studies.measurement.subjects import Model, Program, Subject, subject

POSITIONS = 65
MIDDLE = POSITIONS // 2
BATCH = 8
LAYERS = 4
"""Of a kind of layer, so many on top of one another."""
SHOWN = (
    "feed-forward", "convolution", "dilated-convolution", "windowed-self-attention", "rnn", "gru", "lstm",
    "bidirectional-lstm", "mingru-scan", "self-attention",
)  # fmt: skip
"""What is looked at where nothing is named."""


@dataclass(frozen=True)
class Influence:
    """How much the state in the middle changes with each input."""

    name: str
    title: str
    whole: bool
    """Whether it is the encoder of a whole model."""
    by_distance: Mapping[int, float]
    """From the farthest to the left (below zero) to the farthest to the right: the norm of the Jacobian, in
    float64, as a share of the strongest. Zero: the state cannot depend on it."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, where distances are texts."""
        by_distance = {str(distance): share for distance, share in self.by_distance.items()}
        return {"name": self.name, "title": self.title, "by_distance": by_distance}


def shown() -> list[Subject]:
    """What is looked at where nothing is named."""
    return [subject(name) for name in SHOWN]


def influences(subjects: Sequence[Subject], watch: Callable[[], None] = lambda: None) -> list[Influence]:
    """Of layers, a few on top of one another, and of the encoders of models. `watch`: called after each.

    As they are: layers and architectures with random weights, a run with what it has learned.
    """
    found = []
    for one in subjects:
        inputs, function = _prepared(one)
        norms = influence_on(function, inputs, MIDDLE)
        shares = (norms / norms.max().clamp(min=torch.finfo(norms.dtype).tiny)).tolist()
        by_distance = {place - MIDDLE: share for place, share in enumerate(shares)}
        found.append(Influence(one.name, one.title, isinstance(one, Model), by_distance))
        watch()
    return found


def _prepared(one: Subject) -> tuple[Float[Tensor, "batch positions dim"], Callable[[Tensor], Any]]:
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(BATCH, POSITIONS, DIM, generator=draw, dtype=torch.float64)
    match one:
        case LayerKind():
            return vectors, one.stack(LAYERS).double().eval()
        case Model():
            return _encoder(one.built())
        case Program(function=torch.nn.Module() as module):
            return vectors, module.double()
        case Program():
            return vectors, one.function


def _encoder(model: Seq2Seq) -> tuple[Float[Tensor, "batch positions dim"], Callable[[Tensor], Any]]:
    """From the vectors of random pieces to their states in context."""
    exact = model.double()
    pieces, _ = sentences(POSITIONS, vocab_of(model), BATCH)
    vectors, mask = exact.source.read(pieces, torch.ones_like(pieces, dtype=torch.bool))
    return vectors, lambda states: exact.encoder(states, mask).states
