"""The tables of what was measured, as texts: for a terminal, a page and Markdown alike."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from atonce.measure.growth import Growth
from atonce.measure.laws import Law
from atonce.studies.measurement.clock import WIDTH, Clock, Group, Timing
from atonce.studies.measurement.measured import LayerRow, Measured, ModelRow, parallelism

NEVER = "never"


@dataclass(frozen=True)
class Table:
    """A header and rows of texts. The first column says what a row is of."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown has it."""
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        return "\n".join(
            [f"### {self.title}", "", self.note, "", *(f"| {' | '.join(line)} |" for line in lines), ""]
        )

    def html(self) -> str:
        """As HTML has it."""
        head = "".join(f'<th scope="col">{html.escape(one)}</th>' for one in self.header)
        rows = "\n".join(
            f'<tr><th scope="row">{html.escape(first)}</th>'
            + "".join(f"<td>{html.escape(one)}</td>" for one in others)
            + "</tr>"
            for first, *others in self.rows
        )
        return (
            f"<table>\n<caption>{html.escape(self.title)} <span>{html.escape(self.note)}</span></caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
        )


def tables(measured: Measured) -> list[Table]:
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


def clock_tables(clock: Clock) -> list[Table]:
    """A table for each phase and batch, of layers and of models: what threads take, and what they gain."""
    return [_clock_table(clock, group) for group in clock.groups()]


def _clock_table(clock: Clock, group: Group) -> Table:
    timings, threads = group.timings, max(clock.threads)
    lengths = sorted({one.length for one in timings})
    peers = any(one.peer for one in timings)
    threaded = len(clock.threads) > 1
    header = ["model" if group.whole else "layer", *(f"n = {length}" for length in lengths)]
    header += ["torch's own"] * peers + ["gained", "promised"] * threaded
    rows = []
    for title in dict.fromkeys(one.title for one in timings):
        own = {one.length: one for one in timings if one.title == title}
        longest = own[max(own)]
        cells = [duration(own[length].seconds) if length in own else "–" for length in lengths]
        cells += [_beside(longest)] * peers
        cells += [_times(clock.speedup(longest)), _times(longest.promised)] * threaded
        rows.append((title, *cells))
    note = f"Median times on {threads} threads." if clock.device == "cpu" else "Median times."
    if peers:
        note += " Torch's own: its time by ours, run in turn, at the greatest length; above 1 ours is faster."
    if threaded:
        note += (
            f" Gained: how many times as fast as on one thread, at that length; promised: what {threads} "
            "processors give at least by Brent's bound, if nothing but operations took time."
        )
    return Table(group.title, f"{note} {_where(clock)}", tuple(header), tuple(rows))


def duration(seconds: float) -> str:
    """Such as "1.2 ms"."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((one for one in units if seconds >= one[1]), units[-1])
    number = seconds / size
    return f"{number:.0f} {unit}" if number >= 99.5 else f"{number:.2g} {unit}"


def _where(clock: Clock) -> str:
    return f"{clock.machine}; {clock.device}; width {WIDTH}."


def _beside(timing: Timing) -> str:
    return "" if timing.peer_seconds is None else _times(timing.peer_seconds / timing.seconds)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} ×"
