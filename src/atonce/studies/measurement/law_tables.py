"""The tables of laws: Table 1 of "Attention is all you need", and what whole models take."""

from collections.abc import Sequence

from atonce.measure.growth import Growth
from atonce.measure.laws import Law
from atonce.result import Table
from atonce.studies.measurement.measured import LayerRow, Measured, ModelRow, parallelism

NEVER = "never"


def law_tables(measured: Measured) -> list[Table]:
    """That of layers and that of models, where there are such."""
    found = []
    if measured.layers:
        found.append(_layers(measured.layers, measured.lengths))
    if measured.models:
        found.append(_models(measured.models, measured.lengths))
    return found


def _layers(rows: Sequence[LayerRow], lengths: Sequence[int]) -> Table:
    return Table(
        "One layer over n positions",
        "Work: operations on single numbers. Span: the longest chain of operations that wait for one "
        "another, each operation on tensors one step; PRAM: a reduction over n counts 1 + ⌈log2 n⌉. Layers: "
        "so many until the last position has heard of the first. Path: the longest of the shortest chains "
        f"between two positions, through these. {_measured_at(lengths)}",
        ("layer", "work", "span", "span, PRAM", "layers", "path"),
        tuple(
            (
                row.title,
                row.growth.work.order,
                str(row.growth.span),
                str(row.growth.span_pram),
                _depth(row.depth),
                _path(row),
            )
            for row in rows
        ),
    )


def _models(rows: Sequence[ModelRow], lengths: Sequence[int]) -> Table:
    longest = max(lengths)
    return Table(
        "Whole models: n words in, n words out",
        "Span: forward through a known target, with the gradients of all weights (a training step), and in "
        f"generation. At once: work by span in PRAM steps, at {longest} words: how many processors could be "
        f"kept busy. {_measured_at(lengths)}",
        ("model", "forward", "training step", "generation", "at once, training", "at once, generation"),
        tuple(
            (
                row.title,
                str(row.forward.span),
                str(row.step.span),
                str(row.generation.span),
                _share(row.step),
                _share(row.generation),
            )
            for row in rows
        ),
    )


def _measured_at(lengths: Sequence[int]) -> str:
    return f"Measured at n = {', '.join(map(str, lengths))}."


def _depth(depth: Law | None) -> str:
    if depth is None:
        return ""
    return NEVER if depth.law is None else str(depth)


def _path(row: LayerRow) -> str:
    if row.path.law is None:
        return "∞"
    return str(row.path)


def _share(growth: Growth) -> str:
    return f"{parallelism(growth):,.0f}"
