"""`atonce measure`: Table 1 of "Attention is all you need", regenerated from code that runs."""

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from atonce.config import nearest
from atonce.decoding.opening import load_translator
from atonce.errors import AtonceError, RecipeError
from atonce.measure.growth import LENGTHS, Growth, growth
from atonce.measure.laws import Law, law_of
from atonce.measure.work_span import work_span
from atonce.models.named import ARCHITECTURES
from atonce.models.seq2seq import Seq2Seq
from atonce.studies import lineage
from atonce.studies.depth import connecting_depth
from atonce.studies.lineage import LAYERS, LayerKind

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
    make: Callable[[], Seq2Seq]
    vocab: int = lineage.VOCAB


@dataclass(frozen=True)
class Program:
    """Something of the user's: what turns vectors (1, length, width) into something."""

    name: str
    function: Callable[[Tensor], Any]

    @property
    def title(self) -> str:
        """It has no other name."""
        return self.name


Subject = LayerKind | Model | Program


@dataclass(frozen=True, eq=False)
class LayerRow:
    """What was measured of a kind of layer."""

    name: str
    title: str
    growth: Growth
    depth: Law | None
    """Layers until the last position has heard of the first, by length; None where it was not asked."""
    path: Law
    """The longest of the shortest chains between two positions, through so many layers."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        depth = None if self.depth is None else self.depth.as_dict()
        return {
            "name": self.name, "title": self.title, **self.growth.as_dict(), "layers_to_connect": depth,
            "path": self.path.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class ModelRow:
    """What was measured of a whole model."""

    name: str
    title: str
    forward: Growth
    """Scores of a known target: teacher forcing."""
    step: Growth
    """The same with the gradients of all weights: what training takes."""
    generation: Growth
    """As many pieces, each from those before."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        phases = {"forward": self.forward, "training_step": self.step, "generation": self.generation}
        return {"name": self.name, "title": self.title} | {key: one.as_dict() for key, one in phases.items()}


@dataclass(frozen=True, eq=False)
class Measured:
    """Every row of the two tables."""

    lengths: tuple[int, ...]
    layers: tuple[LayerRow, ...]
    models: tuple[ModelRow, ...]

    @property
    def unknown(self) -> list[str]:
        """Operations that no rule describes, of all that was measured."""
        growths = [row.growth for row in self.layers]
        growths += [one for row in self.models for one in (row.forward, row.step, row.generation)]
        return sorted({name for one in growths for name in one.unknown})

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "lengths": list(self.lengths),
            "width": lineage.DIM,
            "layers": [row.as_dict() for row in self.layers],
            "models": [row.as_dict() for row in self.models],
            "unknown": self.unknown,
        }


def default_subjects() -> list[Subject]:
    """All layers, and a model of each family."""
    return [*LAYERS, *(subject(name) for name in MODELS)]


def subject(name: str) -> Subject:
    """What is called `name`: a layer, an architecture, a run folder, or module:callable.

    Raises RecipeError if it is none of these, and what opening a run or importing a module raises.
    """
    for kind in LAYERS:
        if kind.name == name:
            return kind
    for known in ARCHITECTURES:
        if known.name == name:
            return Model(name, known.title, partial(lineage.small, known.model))
    if Path(name).is_dir():
        translator = load_translator(Path(name))
        model = translator.model.cpu().float()
        return Model(translator.name, translator.name, lambda: model, vocab=translator.tokenizer.size)
    if ":" in name:
        return Program(name, _imported(name))
    known_names = [*(kind.name for kind in LAYERS), *(one.name for one in ARCHITECTURES)]
    raise RecipeError(
        f"there is nothing called {name!r} to measure",
        why="it is no layer, no architecture, no run folder, and not written as module:callable",
        fix=nearest(name, known_names),
    )


def measure(
    subjects: Sequence[Subject], lengths: Sequence[int] = LENGTHS, *, watch: Callable[[], None] = lambda: None
) -> Measured:
    """Measure each of the `subjects` at each of the `lengths`. `watch`: called after each length of each.

    Raises RecipeError for lengths from which no law can be told, or if a program of the user's fails.
    """
    if len(set(lengths)) < 2 or min(lengths) < 2:
        raise RecipeError(
            f"no law can be told from lengths {', '.join(map(str, lengths)) or '(none)'}",
            why="it takes two lengths, and each at least two positions, for something to grow and to wait",
            fix="give --lengths 8,16,32,64",
        )
    chosen = tuple(sorted(set(lengths)))
    layers: list[LayerRow] = []
    models: list[ModelRow] = []
    for one in subjects:
        match one:
            case LayerKind():
                layers.append(_layer_row(one, chosen, watch))
            case Model():
                models.append(_model_row(one, chosen, watch))
            case Program():
                layers.append(_program_row(one, chosen, watch))
    return Measured(chosen, tuple(layers), tuple(models))


def rounds(subjects: Sequence[Subject], lengths: Sequence[int]) -> int:
    """How often `measure` will call its `watch`."""
    return sum(3 if isinstance(one, Model) else 1 for one in subjects) * len(set(lengths))


def _layer_row(kind: LayerKind, lengths: Sequence[int], watch: Callable[[], None]) -> LayerRow:
    found = growth(lineage.sequence, kind.stack(1), lengths, watch=watch)
    depths = {length: connecting_depth(kind, length) for length in lengths}
    paths = {
        length: None
        if depth is None
        else work_span(kind.stack(depth), lineage.sequence(length), follow=False).path
        for length, depth in depths.items()
    }
    return LayerRow(kind.name, kind.title, found, law_of(depths), law_of(paths))


def _model_row(model: Model, lengths: Sequence[int], watch: Callable[[], None]) -> ModelRow:
    built = model.make()

    def grown(function: Callable[..., Any]) -> Growth:
        # Without paths: for each position they would take as much memory as all weights of a real model.
        return growth(
            lambda length: lineage.sentences(length, model.vocab), function, lengths, paths=False, watch=watch
        )

    return ModelRow(
        model.name, model.title, grown(lineage.teacher_forced(built)), grown(lineage.training_step(built)),
        grown(lineage.generation(built)),
    )  # fmt: skip


def _program_row(program: Program, lengths: Sequence[int], watch: Callable[[], None]) -> LayerRow:
    try:
        found = growth(lineage.sequence, program.function, lengths, watch=watch)
    except AtonceError:
        raise
    except Exception as error:  # whatever a program of the user's may raise
        raise RecipeError(
            f"{program.name} failed",
            why=f"{type(error).__name__}: {error}",
            fix=f"it is called with one tensor of floats (1, length, {lineage.DIM}); wrap it in a function "
            "that takes one, or use atonce.measure.growth from Python",
        ) from error
    return LayerRow(program.name, program.title, found, None, found.path)


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


def parallelism(one: Growth) -> float:
    """Work by span at the greatest length: how many processors could be kept busy."""
    return one.calls[max(one.calls)].parallelism if one.calls else math.nan
