"""How long layers and models take: by length, batch and threads, beside torch's own fused kernels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import torch

from atonce.measure.clock import kept_bytes, medians, sure_speedup
from atonce.measure.growth import growth
from atonce.measure.laws import Law
from atonce.studies.machine import machine, memory
from atonce.studies.measurement.runners import FORWARD, GENERATION, TRAINING, Runner, runner_of
from atonce.studies.measurement.subjects import Subject

LENGTHS = (8, 32, 128, 512, 2048)
BATCHES = (1, 32)
COUNTED = (8, 16, 32)
"""Lengths at which work and span are counted, for Brent's bound at all others by their laws."""
SECONDS = 0.15
"""For each that is timed."""
MOST_SECONDS = 5.0
"""Of a call: what would take longer is left out."""

Laws = Mapping[str, tuple[Law, Law]]
"""Of work and of span, for each phase."""


@dataclass(frozen=True)
class Timing:
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


@dataclass(frozen=True)
class Clock:
    """All that was timed, and on what."""

    machine: str
    device: str
    threads: tuple[int, ...]
    timings: tuple[Timing, ...]

    def speedup(self, timing: Timing) -> float | None:
        """How many times as fast as on one thread it ran; None where that was not timed."""
        for other in self.timings:
            same = (other.name, other.phase, other.length, other.batch)
            if same == (timing.name, timing.phase, timing.length, timing.batch) and other.threads == 1:
                return other.seconds / timing.seconds
        return None

    def groups(self) -> Iterator[Group]:
        """Layers, then models; phase by phase."""
        batches = sorted({one.batch for one in self.timings})
        for whole, phase, batch in product((False, True), (FORWARD, TRAINING, GENERATION), batches):
            wanted = whole, phase, batch, max(self.threads)
            chosen = [one for one in self.timings if (one.whole, one.phase, one.batch, one.threads) == wanted]
            if chosen:
                yield Group(whole, phase, batch, tuple(chosen))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        timings = [asdict(one) | {"speedup": self.speedup(one)} for one in self.timings]
        return {"machine": self.machine, "device": self.device, "timings": timings}


def clock(
    subjects: Sequence[Subject],
    lengths: Sequence[int] = LENGTHS,
    *,
    device: torch.device | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Clock:
    """Time each of the `subjects` at each length, with one and with many sequences in a batch.

    On a CPU with one thread and with all. A call that would take more than half of the memory or more than
    `MOST_SECONDS` is left out, judged by a shorter one. `watch`: called after each length of each subject.
    """
    device = device or torch.device("cpu")
    threads = sorted({1, torch.get_num_threads()}) if device.type == "cpu" else [torch.get_num_threads()]
    runners = [runner_of(one, device) for one in subjects]
    limits = [_Limits(memory(device)) for _ in runners]
    laws = [_counted(one) if device.type == "cpu" else {} for one in runners]
    timings: list[Timing] = []
    for length in sorted(set(lengths)):
        for runner, limit, law in zip(runners, limits, laws, strict=True):
            for batch in BATCHES:
                timings += _timed(runner, limit, law, length, batch, threads)
            watch()
    return Clock(machine(), str(device), tuple(threads), tuple(timings))


def rounds(subjects: Sequence[Subject], lengths: Sequence[int] = LENGTHS) -> int:
    """How often `clock` will call its `watch`."""
    return len(subjects) * len(set(lengths))


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
            if 2 * kept * batch * (length / shorter) ** 2 > self.memory / 2:
                return False
        shorter, seconds = self._seconds.get((phase, batch), (length, 0.0))
        return seconds * (length / shorter) ** 2 <= MOST_SECONDS

    def learn(self, runner: Runner, phase: str, length: int, batch: int, seconds: float) -> None:
        """What it took decides whether a longer one is tried."""
        self._seconds[phase, batch] = length, seconds
        if phase == TRAINING and batch == 1:
            self._kept = length, kept_bytes(runner.call(phase, length, batch))


def _timed(
    runner: Runner, limits: _Limits, laws: Laws, length: int, batch: int, threads: Sequence[int]
) -> Iterator[Timing]:
    for phase in runner.phases:
        if not limits.allow(phase, length, batch):
            continue
        calls = [runner.call(phase, length, batch)]
        if runner.peer is not None:
            calls.append(runner.peer.call(phase, length, batch))
        for count in threads:
            own, *others = medians(calls, threads=count, seconds=SECONDS)
            yield Timing(
                runner.name, runner.title, runner.whole, phase, length, batch, count, own,
                None if runner.peer is None else runner.peer.title, others[0] if others else None,
                _promised(laws.get(phase), length, batch, count),
            )  # fmt: skip
        limits.learn(runner, phase, length, batch, own)


def _counted(runner: Runner) -> Laws:
    """Work and span (in PRAM steps) of each phase, of one sequence."""
    found = {}
    for phase, run in runner.phases.items():
        counted = growth(lambda length: runner.inputs(length, 1), run, COUNTED, paths=False)
        found[phase] = counted.work, counted.span_pram
    return found


def _promised(laws: tuple[Law, Law] | None, length: int, batch: int, threads: int) -> float | None:
    if laws is None:
        return None
    work, span = (law.at(length) for law in laws)
    return sure_speedup(batch * work, span, threads)
