"""What can be measured by name: a layer, an architecture, a run folder, or whatever a user brings along."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atonce.config import nearest
from atonce.decoding.translator import Translator
from atonce.disk import place
from atonce.errors import AtonceError, RecipeError
from atonce.models.architectures import ARCHITECTURES, Architecture
from atonce.models.build import build_model
from atonce.models.config import ModelConfig
from atonce.models.seq2seq import Seq2Seq
from atonce.models.size_matching import with_width
from atonce.shapes import Int
from atonce.studies.measurement.layers import DIM, LAYERS, LayerKind

VOCAB = 16
"""Tokens of what is counted. Chains do not depend on it; work does."""
MODELS = (
    "seq2seq-lstm", "additive-bigru", "general-bilstm", "convs2s", "mingru", "transformer-ssru",
    "transformer",
)  # fmt: skip
"""Measured where nothing is named, beside all layers."""


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
    torch.manual_seed(0)
    return build_model(with_width(config, dim), vocab).eval()


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
    if isinstance(found, type) and issubclass(found, nn.Module):
        found = found()
    if not callable(found):
        raise RecipeError(
            f"{name} cannot be called", why=f"it is {found!r}", fix="name a function or a module"
        )
    result: Callable[[Tensor], Any] = found.eval() if isinstance(found, nn.Module) else found
    return result
