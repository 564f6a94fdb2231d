"""What there is to measure, by name: a layer, an architecture, a run folder, or whatever a user brings along.

The layers are the lineage from recurrence to attention, each with what of torch's own it is held against.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.config import nearest
from atonce.decoding.translator import Translator
from atonce.disk import place
from atonce.errors import AtonceError, RecipeError
from atonce.layers import scan
from atonce.layers.masks import window_mask
from atonce.layers.parallel_recurrence import MinGRU
from atonce.layers.recurrence import Cell, Directions, LayerState, RecurrentLayer
from atonce.layers.transformer import EncoderBlock, FeedForward
from atonce.models.architectures import ARCHITECTURES, ONE_OF_EACH_FAMILY, Architecture
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from atonce.models.size_matching import with_width
from atonce.shapes import Float, Int

DIM = 16
"""Width of what is counted. Chains do not depend on it; work does."""
VOCAB = 16
"""Tokens of what is counted. Chains do not depend on it; work does."""
MODELS = ONE_OF_EACH_FAMILY
"""Measured where nothing is named, beside all layers."""
WINDOW = 4
"""Positions on either side that windowed self-attention sees."""


@dataclass(frozen=True)
class Peer:
    """A layer of torch's own that does the like by a fused kernel."""

    title: str
    make: Callable[[int], nn.Module]
    """Of this width; what it gives is the states, or begins with them."""


@dataclass(frozen=True)
class LayerKind:
    """A kind of layer over a sequence: (batch, time, dim) in and out."""

    name: str
    title: str
    make: Callable[[int, int], nn.Module]
    """The layer of this width, and at this depth in a stack, counted from 0."""
    peer: Peer | None = None
    """What it is timed beside; for a parallel recurrence the recurrent layer in whose place it stands."""

    def stack(self, depth: int, dim: int = DIM) -> nn.Sequential:
        """So many on top of one another."""
        return nn.Sequential(*(self.make(dim, place) for place in range(depth)))


@dataclass(frozen=True)
class Model:
    """A whole encoder-decoder, to be measured while it learns and while it writes."""

    name: str
    title: str
    make: Callable[[int, int], Seq2Seq]
    """Of a width and a vocabulary; a trained one is as it is."""

    def built(self, dim: int = DIM, vocab: int = VOCAB) -> Seq2Seq:
        """The model, without dropout."""
        return self.make(dim, vocab)


@dataclass(frozen=True)
class Program:
    """Something of the user's: what turns vectors (1, length, width) into something."""

    name: str
    function: Callable[[Tensor], Any]

    @property
    def title(self) -> str:
        """It has no other name."""
        return self.name

    @contextmanager
    def blamed(self, shape: str) -> Iterator[None]:
        """Within the block, whatever it may raise becomes a RecipeError. `shape`: what it is called with."""
        try:
            yield
        # Of ours, such as a program that starts other processes: it says more than a wrapper could.
        except AtonceError:
            raise
        except Exception as error:
            raise RecipeError(
                f"{self.name} failed",
                why=f"{type(error).__name__}: {error}",
                fix=f"it is called with one tensor of floats {shape}; wrap it in a function that takes one, "
                "or use atonce.measure.growth from Python",
            ) from error


Target = LayerKind | Model | Program


def default_targets() -> list[Target]:
    """All layers, and a model of each family."""
    return [*LAYERS, *(target(name) for name in MODELS)]


def target(name: str) -> Target:
    """What is called `name`: a layer, an architecture, a run folder, or module:callable.

    Raises RecipeError if it is none of these, and what opening a run or importing a module raises.
    """
    for kind in LAYERS:
        if kind.name == name:
            return kind
    if known := _architecture(name):
        return Model(known.name, known.title, partial(small, known.model))
    if place(name, RecipeError, what="cannot measure").is_dir():
        # On a CPU, in float32: what is counted must not depend on where the run was trained.
        translator = Translator.load(Path(name))
        model = translator.model.cpu().float()
        return Model(name, translator.name, lambda *_: model)
    if ":" in name:
        return Program(name, _imported(name))
    known_names = [*(kind.name for kind in LAYERS), *(one.name for one in ARCHITECTURES)]
    raise RecipeError(
        f"there is nothing called {name!r} to measure",
        why="it is no layer, no architecture, no run folder, and not written as module:callable",
        fix=nearest(name, known_names),
    )


def small(config: ModelConfig, dim: int = DIM, vocab: int = VOCAB) -> Seq2Seq:
    """The architecture in a width that is quickly measured, with random weights, without dropout."""
    torch.manual_seed(0)  # influence is of the weights, and should be the same each time
    return build_model(with_width(config, dim), vocab).eval()


def layer(name: str) -> LayerKind:
    """The kind of this name."""
    return next(kind for kind in LAYERS if kind.name == name)


def sequence(length: int) -> Float[Tensor, "1 length dim"]:
    """A sequence of random vectors, the same each time."""
    # Seeded by its length: all targets are given the same inputs.
    return torch.randn(1, length, DIM, generator=torch.Generator().manual_seed(length))


def vocab_of(model: Seq2Seq) -> int:
    """How many tokens it knows."""
    return len(model.decoder.output.weight)


def sentences(
    length: int, vocab: int = VOCAB, batch: int = 1
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"]]:
    """Sources and targets of random tokens, the same each time."""
    draw = torch.Generator().manual_seed(length)
    source, target = torch.randint(3, vocab, (2, batch, length), generator=draw)
    return source, target


def _architecture(name: str) -> Architecture | None:
    """The one of this name; or the first that begins with it: "additive" is additive-bigru."""
    called = [one for one in ARCHITECTURES if one.name == name]
    beginning = [one for one in ARCHITECTURES if one.name.startswith(f"{name}-")]
    # The exact name first: "transformer" is the beginning of "transformer-ssru".
    return next(iter([*called, *beginning]), None)


def _imported(name: str) -> Callable[[Tensor], Any]:
    """What `module:callable` names; of a class of modules, one."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            f"cannot import {name}",
            why=str(error),
            fix="write it as module:callable, and put the folder of the module on PYTHONPATH",
        ) from None
    # A class can be called, too, but what it then gives is a module and no tensor.
    if isinstance(found, type) and issubclass(found, nn.Module):
        found = found()
    if not callable(found):
        raise RecipeError(
            f"{name} cannot be called", why=f"it is {found!r}", fix="name a function or a module"
        )
    result: Callable[[Tensor], Any] = found.eval() if isinstance(found, nn.Module) else found
    return result


# The layers


class Recurrence(nn.Module):
    """A recurrent layer, or two in opposite directions side by side, over positions that are all real."""

    def __init__(self, cell: Cell, input_dim: int, dim: int, *, ways: int = 1) -> None:
        super().__init__()
        self.directions = Directions(*(RecurrentLayer(cell, input_dim, dim) for _ in range(ways)))

    def forward(self, states: Float[Tensor, "batch time input_dim"]) -> Float[Tensor, "batch time out_dim"]:
        """The hidden states, those of both directions beside one another."""
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        outputs: Tensor = self.directions(states, mask)[0]
        return outputs


class CellByCell(nn.Module):
    """What a fused kernel hides: one cell after another."""

    def __init__(self, cell: Cell, dim: int) -> None:
        super().__init__()
        self.layer = RecurrentLayer(cell, dim, dim)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """A loop over the positions."""
        nothing = torch.zeros_like(states[:, 0])
        state: LayerState = (nothing, nothing) if self.layer.cell == "lstm" else (nothing,)
        hidden = []
        for inputs in states.unbind(1):
            state = self.layer.step(inputs, state)
            hidden.append(state[0])
        return torch.stack(hidden, dim=1)


class MinGRUInALoop(nn.Module):
    """The recurrence as it is written."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = MinGRU(dim, dim)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Gates and candidates at once, the states one by one."""
        kept = self.layer.kept(states)
        return scan.loop_scan(kept, (1 - kept) * self.layer.candidate(states))


class MinGRUByLogarithms(nn.Module):
    """The same as running sums of logarithms (Feng 2024, appendix B)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = MinGRU(dim, dim)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """All states at once."""
        gate = self.layer.update(states)
        terms = F.logsigmoid(gate) + self.layer.candidate(states).log()
        return scan.log_scan(F.logsigmoid(-gate), terms)


class SelfAttention(nn.Module):
    """A block of the Transformer's encoder. `window`: positions it sees on either side; None: all."""

    def __init__(self, dim: int, window: int | None = None) -> None:
        super().__init__()
        self.block = EncoderBlock(dim, heads(dim), 4 * dim, norm="pre", dropout=0.0)
        self.window = window

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Every position looks at the others, all at once."""
        length = states.shape[1]
        seen = window_mask(length, length, self.window, causal=False, device=states.device)
        mixed: Tensor = self.block(states, seen)
        return mixed


class Convolution(nn.Module):
    """Width 3, as long as its input, and the positive part of the sum."""

    def __init__(self, dim: int, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)

    def forward(self, states: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Each position with a neighbour on either side."""
        mixed: Tensor = self.convolution(states.mT)
        return mixed.relu().mT


def heads(dim: int) -> int:
    """Of self-attention in this width."""
    return max(2, dim // 32)


RNN = Peer("torch.nn.RNN", lambda dim: nn.RNN(dim, dim, batch_first=True))
GRU = Peer("torch.nn.GRU", lambda dim: nn.GRU(dim, dim, batch_first=True))
LSTM = Peer("torch.nn.LSTM", lambda dim: nn.LSTM(dim, dim, batch_first=True))
BOTH_WAYS = Peer(
    "torch.nn.LSTM, bidirectional",
    lambda dim: nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True),
)
# norm_first and no dropout, as in `SelfAttention`: the two are to do the same work.
TRANSFORMER = Peer(
    "torch.nn.TransformerEncoderLayer",
    lambda dim: nn.TransformerEncoderLayer(
        dim, heads(dim), 4 * dim, dropout=0.0, batch_first=True, norm_first=True
    ),
)

LAYERS = (
    LayerKind("feed-forward", "Feed-forward", lambda dim, _: FeedForward(dim, 4 * dim)),
    LayerKind("convolution", "Convolution, width 3", lambda dim, _: Convolution(dim)),
    LayerKind(
        # Dilations 1, 2, 4, …: each layer doubles what a position sees, so log2 n layers connect n.
        "dilated-convolution", "Dilated convolution, width 3", lambda dim, place: Convolution(dim, 2**place)
    ),
    LayerKind("rnn", "RNN", lambda dim, _: RecurrentLayer("rnn", dim, dim), RNN),
    LayerKind("gru", "GRU", lambda dim, _: RecurrentLayer("gru", dim, dim), GRU),
    LayerKind("lstm", "LSTM", lambda dim, _: RecurrentLayer("lstm", dim, dim), LSTM),
    # Once more without torch's fused kernel: the counts are the same, the times are not.
    LayerKind("lstm-cells", "LSTM, cell by cell", lambda dim, _: CellByCell("lstm", dim), LSTM),
    LayerKind(
        "bidirectional-lstm", "Bidirectional LSTM",
        # Half as wide each way, so that its states are as wide as those of the others.
        lambda dim, _: Recurrence("lstm", dim, dim // 2, ways=2), BOTH_WAYS,
    ),
    # One recurrence in three ways: the span is a matter of how it is computed.
    LayerKind("mingru-loop", "minGRU, in a loop", lambda dim, _: MinGRUInALoop(dim), GRU),
    LayerKind("mingru-scan", "minGRU, by scan", lambda dim, _: MinGRU(dim, dim), GRU),
    LayerKind("mingru-log-scan", "minGRU, by logarithms", lambda dim, _: MinGRUByLogarithms(dim), GRU),
    LayerKind(
        "windowed-self-attention", "Windowed self-attention", lambda dim, _: SelfAttention(dim, WINDOW),
        TRANSFORMER,
    ),
    LayerKind("self-attention", "Self-attention", lambda dim, _: SelfAttention(dim), TRANSFORMER),
)  # fmt: skip
