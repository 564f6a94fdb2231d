"""How work and span grow with the length: Table 1 of "Attention is all you need", from code that runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from atonce.errors import RecipeError
from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.measure.growth import LENGTHS, Growth, Law, growth, law_of
from atonce.measure.work_span import work_span
from atonce.result import Result, Table, computed, to_plain
from atonce.studies.measurement.line_chart import Line, family_of, line_chart
from atonce.studies.measurement.phases import generation, teacher_forced, training_step
from atonce.studies.measurement.targets import (
    DIM,
    LayerKind,
    Model,
    Program,
    Target,
    sentences,
    sequence,
    vocab_of,
)

if TYPE_CHECKING:
    import altair


@dataclass(frozen=True, eq=False)
class LayerGrowth(Result):
    """What was measured of a kind of layer."""

    name: str
    title: str
    growth: Growth
    depth: Law | None
    """Layers until the last position has heard of the first, by length; None where it was not asked."""
    path: Law
    """The longest of the shortest chains between two positions, through so many layers."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: the counts beside the name, with the path through all layers in place of one."""
        counts = self.growth.to_dict()
        connected = {"layers_to_connect": to_plain(self.depth), "path": self.path.to_dict()}
        return {"name": self.name, "title": self.title} | counts | connected


@dataclass(frozen=True, eq=False)
class ModelGrowth(Result):
    """What was measured of a whole model."""

    name: str
    title: str
    forward: Growth
    """Scores of a known target: teacher forcing."""
    training_step: Growth
    """The same with the gradients of all weights: what training takes."""
    generation: Growth
    """As many tokens, each from those before."""


@dataclass(frozen=True, eq=False)
class GrowthResult(Figure):
    """What was counted of layers and of models: two tables, and curves on logarithmic axes."""

    noun = "picture of growth"
    title = "What is computed at once, and what waits"
    alt_text = "Curves of work and span by length, for layers and for models. The tables have the laws."

    lengths: tuple[int, ...]
    layers: tuple[LayerGrowth, ...]
    models: tuple[ModelGrowth, ...]

    @computed
    def width(self) -> int:
        """Of what was counted."""
        return DIM

    @computed
    def unknown(self) -> list[str]:
        """Operations that no rule describes, of all that was measured."""
        return sorted({name for _, one in self._growths() for name in one.unknown})

    @computed
    def wide(self) -> list[str]:
        """Operations that are described, but not number by number, of all that was measured."""
        return sorted({name for _, one in self._growths() for name in one.wide})

    @computed
    def reading(self) -> list[str]:
        """What reads numbers in Python on its way, after which everything waits for them."""
        return list(dict.fromkeys(name for name, one in self._growths() if one.reads))

    def worst(self) -> list[tuple[str, list[str]]]:
        """Whatever was taken for the worst, so that a span may be too long and a path too short, by kind."""
        kinds = [
            ("without a rule", self.unknown),
            ("not followed number by number", self.wide),
            ("reads numbers in Python", self.reading),
        ]
        return [(kind, names) for kind, names in kinds if names]

    def facts(self) -> list[tuple[str, str]]:
        """The lengths, and what was taken for the worst."""
        return [
            ("lengths", ", ".join(map(str, self.lengths))),
            ("without a rule", ", ".join(self.unknown) or "no operation"),
            *((kind, ", ".join(names)) for kind, names in self.worst() if kind != "without a rule"),
        ]

    def tables(self) -> list[Table]:
        """That of layers and that of models, where there are such."""
        layers = [_layer_table(self.layers, self.lengths)] if self.layers else []
        return layers + ([_model_table(self.models, self.lengths)] if self.models else [])

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        panels = [line_chart(title, lines, palette) for title, lines in self._panels().items()]
        said = (
            f"Counted in the running code, at n = {', '.join(map(str, self.lengths))}. Both axes are "
            "logarithmic: a line that doubles with n is linear growth, a level one waits for nothing."
        )
        return styled(
            alt.concat(*panels, columns=2, spacing=30).properties(
                title=headed(self.title, [said], 760), description=self.alt_text
            ),
            palette,
        )

    def _growths(self) -> list[tuple[str, Growth]]:
        """Everything that was counted, with the name of what it is of."""
        growths = [(row.name, row.growth) for row in self.layers]
        return growths + [
            (row.name, one) for row in self.models for one in (row.forward, row.training_step, row.generation)
        ]

    def _panels(self) -> dict[str, list[Line]]:
        panels: dict[str, list[Line]] = {
            "Span of a layer": [_line(row, row.growth.span) for row in self.layers],
            "Work of a layer": [_line(row, row.growth.work) for row in self.layers],
            "Span of a training step": [_line(row, row.training_step.span) for row in self.models],
            "Span of generation": [_line(row, row.generation.span) for row in self.models],
        }
        return {title: lines for title, lines in panels.items() if lines}


def measure_growth(
    targets: Sequence[Target], lengths: Sequence[int] = LENGTHS, *, on_step: Callable[[], None] = lambda: None
) -> GrowthResult:
    """Measure each of the `targets` at each of the `lengths`. `on_step`: called after each length of each.

    Raises RecipeError for too few lengths to fit a law, or if a program of the user's fails.
    """
    # Of one length any law would fit.
    if len(set(lengths)) < 2 or min(lengths) < 2:
        raise RecipeError(
            f"too few lengths to fit a growth law: {', '.join(map(str, lengths)) or 'none'}",
            why="it takes two lengths of at least two positions each for something to grow and to wait",
            fix="give --lengths 8,16,32,64",
        )
    chosen = tuple(sorted(set(lengths)))
    layers: list[LayerGrowth] = []
    models: list[ModelGrowth] = []
    for one in targets:
        match one:
            case LayerKind():
                layers.append(_of_layer(one, chosen, on_step))
            case Model():
                models.append(_of_model(one, chosen, on_step))
            case Program():
                layers.append(_of_program(one, chosen, on_step))
    return GrowthResult(chosen, tuple(layers), tuple(models))


def rounds(targets: Sequence[Target], lengths: Sequence[int]) -> int:
    """How often `measure_growth` will call its `on_step`."""
    return sum(3 if isinstance(one, Model) else 1 for one in targets) * len(set(lengths))


def _of_layer(kind: LayerKind, lengths: Sequence[int], on_step: Callable[[], None]) -> LayerGrowth:
    found = growth(sequence, kind.stack(1), lengths, on_step=on_step)
    # Through as many layers as it takes: that of one layer is infinite where words do not reach one another.
    depths = {length: connecting_depth(kind, length) for length in lengths}
    paths = {
        length: None if depth is None else work_span(kind.stack(depth), sequence(length), follow=False).path
        for length, depth in depths.items()
    }
    return LayerGrowth(kind.name, kind.title, found, law_of(depths), law_of(paths))


def _of_model(model: Model, lengths: Sequence[int], on_step: Callable[[], None]) -> ModelGrowth:
    # One model for all lengths and phases: counts do not depend on its weights.
    built = model.built()
    inputs = partial(sentences, vocab=vocab_of(built))

    def grown(function: Callable[..., Any]) -> Growth:
        # Without paths: for each position they would take as much memory as all weights of a real model.
        return growth(inputs, function, lengths, paths=False, on_step=on_step)

    return ModelGrowth(
        model.name, model.title, grown(teacher_forced(built)), grown(training_step(built)),
        grown(generation(built)),
    )  # fmt: skip


def _of_program(program: Program, lengths: Sequence[int], on_step: Callable[[], None]) -> LayerGrowth:
    with program.blamed(f"(1, length, {DIM})"):
        # One layer of it, as nobody knows whether it can be stacked: so no depth, and its own path.
        found = growth(sequence, program.function, lengths, on_step=on_step)
    return LayerGrowth(program.name, program.title, found, None, found.path)


def connecting_depth(kind: LayerKind, length: int) -> int | None:
    """How many layers it takes until the last position has heard of the first; None if no number will do.

    Each layer adds to what the one below has heard, so no more than `length` are ever needed.
    """
    # Doubling, then halving: for each depth that is tried, a whole stack is run.
    least, most = 0, 1
    while not _connects(kind, most, length):
        if most >= length:
            return None
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if _connects(kind, middle, length) else (middle, most)
    return most


def _connects(kind: LayerKind, depth: int, length: int) -> bool:
    paths = work_span(kind.stack(depth), sequence(length), follow=False).paths
    # From the first to the last: backwards, what reads from left to right would never connect.
    return paths is not None and bool(paths[0, -1].isfinite())


def _layer_table(rows: Sequence[LayerGrowth], lengths: Sequence[int]) -> Table:
    return Table(
        "One layer over n positions",
        "Work: operations on single numbers. Span: the longest chain of operations that wait for one "
        "another, each operation on tensors one step; PRAM: a reduction over n counts 1 + ⌈log2 n⌉. Layers: "
        "so many until the last position has heard of the first. Path: the longest of the shortest chains "
        f"between two positions, through these. {_at(lengths)}",
        ("layer", "work", "span", "span, PRAM", "layers", "path"),
        tuple(
            (
                row.title,
                # The order alone: factors of work depend on the width, which is small here (`targets.DIM`).
                row.growth.work.order,
                str(row.growth.span),
                str(row.growth.span_pram),
                _depth(row.depth),
                "∞" if row.path.law is None else str(row.path),
            )
            for row in rows
        ),
    )


def _model_table(rows: Sequence[ModelGrowth], lengths: Sequence[int]) -> Table:
    longest = max(lengths)
    return Table(
        "Whole models: n words in, n words out",
        "Span: forward through a known target, with the gradients of all weights (a training step), and in "
        f"generation. At once: work by span in PRAM steps, at {longest} words: how many processors could be "
        f"kept busy. {_at(lengths)}",
        ("model", "forward", "training step", "generation", "at once, training", "at once, generation"),
        tuple(
            (
                row.title,
                str(row.forward.span),
                str(row.training_step.span),
                str(row.generation.span),
                _parallelism(row.training_step),
                _parallelism(row.generation),
            )
            for row in rows
        ),
    )


def _at(lengths: Sequence[int]) -> str:
    return f"Measured at n = {', '.join(map(str, lengths))}."


def _depth(depth: Law | None) -> str:
    if depth is None:
        return ""
    return "never" if depth.law is None else str(depth)


def _parallelism(growth: Growth) -> str:
    """Work by span at the greatest length: how many processors could be kept busy."""
    return f"{growth.calls[max(growth.calls)].parallelism:,.0f}"


def _line(row: LayerGrowth | ModelGrowth, law: Law) -> Line:
    family = family_of(row.name, whole=isinstance(row, ModelGrowth))
    return Line(row.title, family, law.values, str(law))
