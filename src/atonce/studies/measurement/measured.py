"""`atonce measure`: Table 1 of "Attention is all you need", regenerated from code that runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from atonce.errors import RecipeError
from atonce.measure.growth import LENGTHS, Growth, growth
from atonce.measure.laws import Law, law_of
from atonce.measure.work_span import work_span
from atonce.studies.measurement.depth import connecting_depth
from atonce.studies.measurement.layers import DIM, LayerKind, sequence
from atonce.studies.measurement.phases import generation, sentences, teacher_forced, training_step, vocab_of
from atonce.studies.measurement.subjects import Model, Program, Subject


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
        return sorted({name for one in self._growths() for name in one.unknown})

    @property
    def wide(self) -> list[str]:
        """Operations that are described, but not number by number, of all that was measured."""
        return sorted({name for one in self._growths() for name in one.wide})

    @property
    def reading(self) -> list[str]:
        """What reads numbers in Python on its way, after which everything waits for them."""
        rows = [(row.name, [row.growth]) for row in self.layers]
        rows += [(row.name, [row.forward, row.step, row.generation]) for row in self.models]
        return [name for name, growths in rows if any(one.reads for one in growths)]

    def worst(self) -> list[tuple[str, list[str]]]:
        """Whatever was taken for the worst, so that a span may be too long and a path too short, by kind."""
        kinds = [
            ("without a rule", self.unknown),
            ("not followed number by number", self.wide),
            ("reads numbers in Python", self.reading),
        ]
        return [(kind, names) for kind, names in kinds if names]

    def _growths(self) -> list[Growth]:
        growths = [row.growth for row in self.layers]
        return growths + [one for row in self.models for one in (row.forward, row.step, row.generation)]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "lengths": list(self.lengths),
            "width": DIM,
            "layers": [row.as_dict() for row in self.layers],
            "models": [row.as_dict() for row in self.models],
            "unknown": self.unknown,
            "wide": self.wide,
            "reading": self.reading,
        }


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
    found = growth(sequence, kind.stack(1), lengths, watch=watch)
    depths = {length: connecting_depth(kind, length) for length in lengths}
    paths = {
        length: None if depth is None else work_span(kind.stack(depth), sequence(length), follow=False).path
        for length, depth in depths.items()
    }
    return LayerRow(kind.name, kind.title, found, law_of(depths), law_of(paths))


def _model_row(model: Model, lengths: Sequence[int], watch: Callable[[], None]) -> ModelRow:
    built = model.built()
    vocab = vocab_of(built)

    def grown(function: Callable[..., Any]) -> Growth:
        # Without paths: for each position they would take as much memory as all weights of a real model.
        return growth(lambda length: sentences(length, vocab), function, lengths, paths=False, watch=watch)

    return ModelRow(
        model.name, model.title, grown(teacher_forced(built)), grown(training_step(built)),
        grown(generation(built)),
    )  # fmt: skip


def _program_row(program: Program, lengths: Sequence[int], watch: Callable[[], None]) -> LayerRow:
    with program.blamed(f"(1, length, {DIM})"):
        found = growth(sequence, program.function, lengths, watch=watch)
    return LayerRow(program.name, program.title, found, None, found.path)


def parallelism(one: Growth) -> float:
    """Work by span at the greatest length: how many processors could be kept busy."""
    return one.calls[max(one.calls)].parallelism if one.calls else math.nan
