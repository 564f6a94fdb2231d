"""How long layers and models take: by length, batch and threads, beside torch's own fused kernels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import torch

from atonce.figures.figure import Figure
from atonce.figures.style import LIGHT, Palette, headed, styled
from atonce.measure.clock import kept_bytes, medians, sure_speedup
from atonce.measure.growth import Law, growth
from atonce.result import HIDDEN, Result, Table
from atonce.studies.environment import machine, memory
from atonce.studies.measurement.line_chart import Line, family_of, line_chart
from atonce.studies.measurement.phases import FORWARD, GENERATION, TRAINING, WIDTH, Runner, runner_of
from atonce.studies.measurement.targets import Target

if TYPE_CHECKING:
    import altair

LENGTHS = (8, 32, 128, 512, 2048)
BATCHES = (1, 32)
"""One: only what is parallel within a sequence can be used. Many: batches hide much of what waits."""
COUNTED = (8, 16, 32)
"""Lengths at which work and span are counted, for Brent's bound at all others by their laws."""
SECONDS = 0.15
"""For each that is timed."""
MOST_SECONDS = 5.0
"""Of a call: what would take longer is left out."""

_Laws = Mapping[str, tuple[Law, Law]]
"""Of work and of span, for each phase."""


@dataclass(frozen=True)
class Timing(Result):
    """The median time of one call."""

    name: str
    title: str
    whole: bool
    """Whether it is a whole model."""
    phase: str
    """"forward", "training step" (forward and backward), or, of a model, "generation"."""
    length: int
    batch: int
    threads: int
    seconds: float
    peer: str | None
    """What of torch's own ran in turn with it, where there is such."""
    peer_seconds: float | None
    promised: float | None
    """How many times as fast as one so many threads are sure to be by Brent's bound, if nothing but
    operations took time; None where work and span were not counted."""
    speedup: float | None = None
    """How many times as fast as on one thread it ran; None where that was not timed."""


@dataclass(frozen=True)
class Group:
    """Timings that differ in subject and length alone, on all threads."""

    whole: bool
    phase: str
    batch: int
    timings: tuple[Timing, ...]

    @property
    def title(self) -> str:
        """What they are of."""
        many = "one sequence" if self.batch == 1 else f"{self.batch} sequences"
        return f"{'Models' if self.whole else 'Layers'}, {self.phase}, {many}"


@dataclass(frozen=True, eq=False)
class Timings(Figure):
    """All that was timed, and on what: a table and a panel of curves for each phase and batch."""

    noun = "picture of times"
    title = "What the clock says"
    alt_text = "Curves of seconds by length. The tables have the numbers."

    machine: str
    device: str
    threads: tuple[int, ...] = field(metadata=HIDDEN)
    timings: tuple[Timing, ...]

    def groups(self) -> Iterator[Group]:
        """Layers, then models; phase by phase."""
        batches = sorted({one.batch for one in self.timings})
        for whole, phase, batch in product((False, True), (FORWARD, TRAINING, GENERATION), batches):
            wanted = whole, phase, batch, max(self.threads)
            chosen = [one for one in self.timings if (one.whole, one.phase, one.batch, one.threads) == wanted]
            if chosen:
                yield Group(whole, phase, batch, tuple(chosen))

    def facts(self) -> list[tuple[str, str]]:
        """What it ran on."""
        return [("machine", self.machine), ("device", self.device)]

    def tables(self) -> list[Table]:
        """One for each phase and batch, of layers and of models: what threads take, and what they gain."""
        return [_table(self, group) for group in self.groups()]

    def chart(self, palette: Palette = LIGHT) -> "altair.TopLevelMixin":
        """The figure, from which every format is made: an Altair chart to restyle or combine with others."""
        import altair as alt

        panels = [line_chart(group.title, list(_lines(group)), palette, unit="s") for group in self.groups()]
        on = f" on {max(self.threads)} threads" if self.device == "cpu" else ""
        said = (
            f"Median seconds of a call by length{on}, width {WIDTH}; {self.machine}; {self.device}. "
            "Both axes are logarithmic."
        )
        return styled(
            alt.concat(*panels, columns=2, spacing=30).properties(
                title=headed(self.title, [said], 760), description=self.alt_text
            ),
            palette,
        )


def measure_times(
    targets: Sequence[Target],
    lengths: Sequence[int] = LENGTHS,
    *,
    device: torch.device | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Timings:
    """Time each of the `targets` at each length, with one and with many sequences in a batch.

    On a CPU with one thread and with all. A call that would take more than half of the memory or more than
    `MOST_SECONDS` is left out, judged by a shorter one. `on_step`: called after each length of each target.
    """
    device = device or torch.device("cpu")
    threads = sorted({1, torch.get_num_threads()}) if device.type == "cpu" else [torch.get_num_threads()]
    # From short to long lengths with all targets each: what is too long is known from the shorter one, and a
    # machine that gets slower does so for all targets alike.
    runners = [runner_of(one, device) for one in targets]
    limits = [_Limits(memory(device)) for _ in runners]
    # Brent's bound is told for the CPU threads that are chosen; on a GPU there is no such number.
    laws = [_counted(one) if device.type == "cpu" else {} for one in runners]
    timings: list[Timing] = []
    for length in sorted(set(lengths)):
        for runner, limit, law in zip(runners, limits, laws, strict=True):
            # Innermost, as what a batch of one kept decides whether that of many fits (`_Limits`).
            for batch in BATCHES:
                timings += _timed(runner, limit, law, length, batch, threads)
            on_step()
    return Timings(machine(), str(device), tuple(threads), tuple(timings))


def rounds(targets: Sequence[Target], lengths: Sequence[int] = LENGTHS) -> int:
    """How often `measure_times` will call its `on_step`."""
    return len(targets) * len(set(lengths))


@dataclass
class _Limits:
    """What a runner may take, as far as is known from shorter calls."""

    memory: int
    _kept: tuple[int, int] | None = None
    """A length, and the bytes that a training step keeps of one sequence of it."""
    _seconds: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    """For a phase and a batch, a length and its time."""

    def allow(self, phase: str, length: int, batch: int) -> bool:
        """Whether there is room and time: both may grow with the square of the length."""
        if self._kept is not None:
            shorter, kept = self._kept
            # Twice: backward makes a gradient of what forward kept.
            if 2 * kept * batch * (length / shorter) ** 2 > self.memory / 2:
                return False
        shorter, seconds = self._seconds.get((phase, batch), (length, 0.0))
        return seconds * (length / shorter) ** 2 <= MOST_SECONDS

    def learn(self, runner: Runner, phase: str, length: int, batch: int, seconds: float) -> None:
        """What it took decides whether a longer one is tried."""
        self._seconds[phase, batch] = length, seconds
        # Only training keeps what forward made: the other phases run without gradients.
        if phase == TRAINING and batch == 1:
            self._kept = length, kept_bytes(runner.call(phase, length, batch))


def _timed(
    runner: Runner, limits: _Limits, laws: _Laws, length: int, batch: int, threads: Sequence[int]
) -> Iterator[Timing]:
    for phase in runner.phases:
        if not limits.allow(phase, length, batch):
            continue
        # In turn with torch's own, call by call (`measure.clock.medians`): whatever disturbs meets both.
        calls = [runner.call(phase, length, batch)]
        if runner.peer is not None:
            calls.append(runner.peer.call(phase, length, batch))
        times: dict[int, float] = {}
        for count in threads:
            times[count], *others = medians(calls, threads=count, seconds=SECONDS)
            yield Timing(
                runner.name, runner.title, runner.whole, phase, length, batch, count, times[count],
                None if runner.peer is None else runner.peer.title, others[0] if others else None,
                _promised(laws.get(phase), length, batch, count),
                speedup=times[1] / times[count] if 1 in times else None,
            )  # fmt: skip
        # By the time on all threads: on one thread a call may take longer than MOST_SECONDS.
        limits.learn(runner, phase, length, batch, times[max(threads)])


def _counted(runner: Runner) -> _Laws:
    """Work and span (in PRAM steps) of each phase, of one sequence."""
    found = {}
    for phase, run in runner.phases.items():
        # Of one sequence, as those of a batch do not wait for one another: only work grows with them.
        counted = growth(lambda length: runner.inputs(length, 1), run, COUNTED, paths=False)
        # PRAM steps: a sum over n is no single step for any number of processors.
        found[phase] = counted.work, counted.span_pram
    return found


def _promised(laws: tuple[Law, Law] | None, length: int, batch: int, threads: int) -> float | None:
    if laws is None:
        return None
    work, span = (law.at(length) for law in laws)
    return sure_speedup(batch * work, span, threads)


def _table(times: Timings, group: Group) -> Table:
    timings, threads = group.timings, max(times.threads)
    lengths = sorted({one.length for one in timings})
    peers = any(one.peer for one in timings)
    threaded = len(times.threads) > 1
    header = ["model" if group.whole else "layer", *(f"n = {length}" for length in lengths)]
    header += ["torch's own"] * peers + ["gained", "promised"] * threaded
    rows = []
    for name in dict.fromkeys(one.name for one in timings):
        own = {one.length: one for one in timings if one.name == name}
        # The greatest length that was not left out for this one: others may have gone further.
        longest = own[max(own)]
        cells = [duration(own[length].seconds) if length in own else "–" for length in lengths]
        cells += [_beside(longest)] * peers
        cells += [_times(longest.speedup), _times(longest.promised)] * threaded
        rows.append((longest.title, *cells))
    note = f"Median times on {threads} threads." if times.device == "cpu" else "Median times."
    if peers:
        note += " Torch's own: its time by ours, run in turn, at the greatest length; above 1 ours is faster."
    if threaded:
        note += (
            f" Gained: how many times as fast as on one thread, at that length; promised: what {threads} "
            "processors give at least by Brent's bound, if nothing but operations took time."
        )
    note += f" {times.machine}; {times.device}; width {WIDTH}."
    return Table(group.title, note, tuple(header), tuple(rows))


def duration(seconds: float) -> str:
    """Such as "1.2 ms"."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((one for one in units if seconds >= one[1]), units[-1])
    number = seconds / size
    return f"{number:.0f} {unit}" if number >= 99.5 else f"{number:.2g} {unit}"


def _beside(timing: Timing) -> str:
    return "" if timing.peer_seconds is None else _times(timing.peer_seconds / timing.seconds)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} ×"


def _lines(group: Group) -> Iterator[Line]:
    times: dict[tuple[str, str], dict[int, int | float]] = {}
    for one in group.timings:
        times.setdefault((one.name, one.title), {})[one.length] = one.seconds
    for (name, title), values in times.items():
        yield Line(title, family_of(name, whole=group.whole), values)
