"""The lineage, to be measured: every layer by itself, and whole models while they learn and write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers import scan
from atonce.layers.parallel_recurrence import MinGRU
from atonce.layers.recurrence import Cell, Directions, LayerState, RecurrentLayer
from atonce.layers.transformer import EncoderBlock, FeedForward
from atonce.layers.window import window_mask
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.named import ARCHITECTURES
from atonce.models.seq2seq import Seq2Seq
from atonce.models.width import with_width
from atonce.shapes import Float, Int

DIM = 16
"""Width of what is measured. Chains do not depend on it; work does."""
VOCAB = 16
WINDOW = 4
"""Positions on either side that windowed self-attention sees."""

Layer = Callable[[Float[Tensor, "batch time dim"]], Float[Tensor, "batch time dim"]]


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer over a sequence."""

    name: str
    title: str
    make: Callable[[int, int], Layer]
    """The layer of this width, and at this depth in a stack, counted from 0."""

    def stack(self, depth: int, dim: int = DIM) -> Layer:
        """So many on top of one another."""
        layers = [self.make(dim, place) for place in range(depth)]

        def run(states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
            for layer in layers:
                states = layer(states)
            return states

        return run


def recurrence(cell: Cell, dim: int = DIM, *, both_ways: bool = False) -> Layer:
    """A recurrent layer, or two in opposite directions, side by side and each as wide."""
    layer = Directions(*(RecurrentLayer(cell, dim, dim) for _ in range(1 + both_ways)))
    return lambda states: layer(states, torch.ones(states.shape[:2], dtype=torch.bool))[0]


def _both_halves(cell: Cell, dim: int) -> Layer:
    """Both directions in the width of one: what can be stacked."""
    layer = Directions(*(RecurrentLayer(cell, dim, dim // 2) for _ in range(2)))
    return lambda states: layer(states, torch.ones(states.shape[:2], dtype=torch.bool))[0]


def _cell_by_cell(cell: Cell, dim: int) -> Layer:
    """What a fused kernel hides: one cell after another."""
    layer = RecurrentLayer(cell, dim, dim)

    def run(states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        nothing = states.new_zeros(len(states), dim)
        state: LayerState = (nothing, nothing) if cell == "lstm" else (nothing,)
        hidden = []
        for inputs in states.unbind(1):
            state = layer.step(inputs, state)
            hidden.append(state[0])
        return torch.stack(hidden, dim=1)

    return run


def _mingru(scanning: Callable[[Tensor, Tensor], Tensor], dim: int) -> Layer:
    layer = MinGRU(dim, dim)

    def run(states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        kept = layer.kept(states)
        return scanning(kept, (1 - kept) * layer.candidate(states))

    return run


def _mingru_log(dim: int) -> Layer:
    layer = MinGRU(dim, dim)

    def run(states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        gate = layer.update(states)
        terms = F.logsigmoid(gate) + layer.candidate(states).log()
        return scan.log_scan(F.logsigmoid(-gate), terms)

    return run


def _self_attention(dim: int, window: int | None = None) -> Layer:
    block = EncoderBlock(dim, max(2, dim // 32), 4 * dim, norm="pre", dropout=0.0)

    def run(states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        length = states.shape[1]
        return block(states, window_mask(length, length, window, causal=False))

    return run


def _convolution(dim: int, dilation: int = 1) -> Layer:
    convolution = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)
    return lambda states: convolution(states.mT).relu().mT


LAYERS = (
    LayerKind("feed-forward", "Feed-forward", lambda dim, _: FeedForward(dim, 4 * dim)),
    LayerKind("convolution", "Convolution, width 3", lambda dim, _: _convolution(dim)),
    LayerKind(
        "dilated-convolution", "Dilated convolution, width 3", lambda dim, place: _convolution(dim, 2**place)
    ),
    LayerKind("rnn", "RNN", lambda dim, _: RecurrentLayer("rnn", dim, dim)),
    LayerKind("gru", "GRU", lambda dim, _: RecurrentLayer("gru", dim, dim)),
    LayerKind("lstm", "LSTM", lambda dim, _: RecurrentLayer("lstm", dim, dim)),
    LayerKind("lstm-cells", "LSTM, cell by cell", lambda dim, _: _cell_by_cell("lstm", dim)),
    LayerKind("bidirectional-lstm", "Bidirectional LSTM", lambda dim, _: _both_halves("lstm", dim)),
    LayerKind("mingru-loop", "minGRU, in a loop", lambda dim, _: _mingru(scan.loop_scan, dim)),
    LayerKind("mingru-scan", "minGRU, by scan", lambda dim, _: MinGRU(dim, dim)),
    LayerKind("mingru-log-scan", "minGRU, by logarithms", lambda dim, _: _mingru_log(dim)),
    LayerKind(
        "windowed-self-attention", "Windowed self-attention", lambda dim, _: _self_attention(dim, WINDOW)
    ),
    LayerKind("self-attention", "Self-attention", lambda dim, _: _self_attention(dim)),
)


def sequence(length: int) -> Float[Tensor, "1 length dim"]:
    """A sequence of random vectors, the same each time."""
    return torch.randn(1, length, DIM, generator=torch.Generator().manual_seed(length))


def small(config: ModelConfig) -> Seq2Seq:
    """The architecture in a width that is quickly measured, with random weights, without dropout."""
    torch.manual_seed(0)
    return build_model(with_width(config, DIM), VOCAB).eval()


def sentences(length: int, vocab: int = VOCAB) -> tuple[Int[Tensor, "1 length"], Int[Tensor, "1 length"]]:
    """A source and a target of random pieces, the same each time."""
    draw = torch.Generator().manual_seed(length)
    source, target = torch.randint(3, vocab, (2, 1, length), generator=draw)
    return source, target


def teacher_forced(model: Seq2Seq) -> Callable[[Tensor, Tensor], Tensor]:
    """Scores of every piece of a known target, as in training."""

    def run(
        source: Int[Tensor, "1 length"], target: Int[Tensor, "1 length"]
    ) -> Float[Tensor, "1 length vocab"]:
        return model.decoder.logits(model(source, torch.ones_like(source, dtype=torch.bool), target))

    return run


def training_step(model: Seq2Seq) -> Callable[[Tensor, Tensor], Tensor]:
    """The same, with the gradients of all weights."""
    scores = teacher_forced(model)

    def run(
        source: Int[Tensor, "1 length"], target: Int[Tensor, "1 length"]
    ) -> Float[Tensor, "1 length vocab"]:
        model.zero_grad()  # or the sum with what is left of the step before would be measured too
        found = scores(source, target)
        (-found.log_softmax(-1).gather(2, target[..., None]).mean()).backward()
        return found

    return run


def generation(model: Seq2Seq) -> Callable[[Tensor, Any], Tensor]:
    """As many pieces as the target has, each the likeliest after those before."""

    @torch.no_grad()
    def run(source: Int[Tensor, "1 length"], target: Int[Tensor, "1 length"]) -> Int[Tensor, "1 length"]:
        memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
        state = model.decoder.start(memory)
        token, tokens = target[:, 0], []
        for _ in range(target.shape[1]):
            scores, state = model.decoder.step(token, state)
            token = scores.argmax(-1)
            tokens.append(token)
        return torch.stack(tokens, dim=1)

    return run


Family = Literal["recurrence", "scan", "convolution", "attention", "feed-forward"]


def family_of_layer(name: str) -> Family:
    """What a layer does to bring positions together; of a program of the user's, nothing is known."""
    for sign, family in _SIGNS.items():
        if sign in name:
            return family
    return "feed-forward"


def family_of_model(name: str) -> Family:
    """What an architecture's encoder does; a run of whatever architecture counts as attention."""
    for known in ARCHITECTURES:
        if known.name == name:
            return _ENCODERS[known.model.encoder.kind]
    return "attention"


_SIGNS: dict[str, Family] = {
    "attention": "attention", "convolution": "convolution", "mingru": "scan", "rnn": "recurrence",
    "gru": "recurrence", "lstm": "recurrence",
}  # fmt: skip
_ENCODERS: dict[str, Family] = {
    "feedforward": "feed-forward", "convolution": "convolution", "rnn": "recurrence", "gru": "recurrence",
    "lstm": "recurrence", "mingru": "scan", "minlstm": "scan", "transformer": "attention",
}  # fmt: skip
