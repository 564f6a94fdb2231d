"""Layers and models as grids of positions: when each cell can be computed, and what goes into an output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn

from atonce.measure.ticks import Part, cones, ticks
from atonce.models.interface import Decoder
from atonce.models.recurrent import RecurrentDecoder
from atonce.models.seq2seq import Seq2Seq
from atonce.shapes import Bool
from atonce.studies.measurement.layers import LayerKind, sequence
from atonce.studies.measurement.phases import generation, sentences, teacher_forced, vocab_of
from atonce.studies.measurement.subjects import Model, Program, Subject, subject

LENGTH = 8
"""Positions of a grid: enough to see the law, and few enough to read every number."""
LAYERS = 3
"""Of a kind of layer, so many on top of one another."""
SHOWN = (
    "rnn", "bidirectional-lstm", "mingru-scan", "convolution", "dilated-convolution", "self-attention",
    "additive-bigru", "general-bilstm", "transformer",
)  # fmt: skip
"""What is looked at where nothing is named."""


@dataclass(frozen=True, eq=False)
class Row:
    """One layer, position by position."""

    name: str
    ticks: tuple[int, ...]
    """When each position is there."""
    into: Bool[Tensor, "positions outputs"]
    """Which of its positions go into each position of the result."""


@dataclass(frozen=True, eq=False)
class TickView:
    """One way of running one subject."""

    title: str
    phase: str
    """"training" (with the target known), "generation", or nothing for a layer."""
    rows: tuple[Row, ...]
    """From the input upwards; the last is the result."""
    last: int
    """The last tick of all: the span."""

    @property
    def whole(self) -> bool:
        """Whether it is a whole model."""
        return self.phase != ""

    @property
    def heading(self) -> str:
        """What it is of."""
        return f"{self.title}, {self.phase}" if self.phase else self.title

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        rows = [
            {"name": row.name, "ticks": list(row.ticks), "into": row.into.int().tolist()} for row in self.rows
        ]
        return {"title": self.title, "phase": self.phase, "last": self.last, "rows": rows}


def shown() -> list[Subject]:
    """What is looked at where nothing is named."""
    return [subject(name) for name in SHOWN]


def tick_views(subjects: Sequence[Subject], watch: Callable[[], None] = lambda: None) -> list[TickView]:
    """A view of each layer, and two of each model: in training and in generation. `watch`: after each."""
    found = []
    for one in subjects:
        match one:
            case LayerKind():
                found.append(_layer_view(one))
            case Model():
                model = one.built()
                scores, written = teacher_forced(model), generation(model)
                found.append(_model_view(one.title, "training", model, scores, "scores"))
                found.append(_model_view(one.title, "generation", model, written, "words written"))
            case Program():
                found.append(_program_view(one))
        watch()
    return found


def parts_of(model: Seq2Seq) -> dict[str, Part]:
    """What of a model has a row: what is read, and what the layers of encoder and decoder give."""
    parts: dict[str, Part] = {"words read": cast(MethodType, model.source.read)}
    parts |= {f"encoder {number}": layer for number, layer in enumerate(model.encoder.layers, 1)}
    return parts | _decoder_parts(model.decoder)


def _decoder_parts(decoder: Decoder) -> dict[str, Part]:
    if not isinstance(decoder, RecurrentDecoder):
        return {f"decoder {number}": layer for number, layer in enumerate(getattr(decoder, "layers", ()), 1)}
    parts: dict[str, Part] = {f"state {number}": one for number, one in enumerate(decoder.stack.layers, 1)}
    if isinstance(decoder.attention, nn.Module):
        parts["attention"] = decoder.attention
    return parts | {"mixture": decoder.combine}


def _layer_view(kind: LayerKind) -> TickView:
    stack = kind.stack(LAYERS)
    parts: dict[str, Part] = {f"layer {number}": layer for number, layer in enumerate(stack, 1)}
    return _view(kind.title, "", stack, (sequence(LENGTH),), parts, None)


def _program_view(program: Program) -> TickView:
    """With a row for each module in it, if it is a module."""
    function = program.function
    parts: dict[str, Part] = dict(function.named_children()) if isinstance(function, nn.Module) else {}
    return _view(program.title, "", function, (sequence(LENGTH),), parts, "result")


def _model_view(
    title: str, phase: str, model: Seq2Seq, function: Callable[..., Any], result: str
) -> TickView:
    return _view(title, phase, function, sentences(LENGTH, vocab_of(model)), parts_of(model), result)


def _view(
    title: str,
    phase: str,
    function: Callable[..., Any],
    inputs: tuple[Tensor, ...],
    parts: dict[str, Part],
    result: str | None,
) -> TickView:
    """`result`: what the row of the result is called; None where the last part gives it."""
    found = ticks(function, inputs, parts)
    own = {} if result is None else {result: found.result}
    into = cones(function, inputs, parts)
    itself = torch.eye(len(found.result), dtype=torch.bool)
    rows = [
        Row(name, when, into.get(name, itself))
        for name, when in sorted(
            (dict(found.by_part) | own).items(), key=lambda row: (row[0] in own, row[1][0])
        )
    ]
    return TickView(title, phase, tuple(rows), found.last)
