"""How long layers and models take: by length, batch and threads, beside torch's own fused kernels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from atonce.measure.clock import kept_bytes, medians, sure_speedup
from atonce.measure.growth import growth
from atonce.measure.laws import Law
from atonce.studies.machine import machine, memory
from atonce.studies.measurement.layers import DIM, LayerKind
from atonce.studies.measurement.phases import generation, sentences, teacher_forced, training_step, vocab_of
from atonce.studies.measurement.subjects import Model, Program, Subject

LENGTHS = (8, 32, 128, 512, 2048)
BATCHES = (1, 32)
COUNTED = (8, 16, 32)
"""Lengths at which work and span are counted, for Brent's bound at all others by their laws."""
WIDTH, VOCAB = 128, 1000
"""What is timed must be as wide as what is used, or the clock would show little but the start of kernels."""
SECONDS = 0.15
"""For each that is timed."""
MOST_SECONDS = 20.0
"""Of a call: what would take longer is left out."""

FORWARD, TRAINING, GENERATION = "forward", "training step", "generation"

Inputs = tuple[Tensor, ...]
Phase = Callable[..., object]


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
    runners = [_Runner(one, device) for one in subjects]
    timings: list[Timing] = []
    for length in sorted(set(lengths)):
        for runner in runners:
            for batch in BATCHES:
                timings += _timed(runner, length, batch, threads)
            watch()
    return Clock(machine(), str(device), tuple(threads), tuple(timings))


def rounds(subjects: Sequence[Subject], lengths: Sequence[int] = LENGTHS) -> int:
    """How often `clock` will call its `watch`."""
    return len(subjects) * len(set(lengths))


class _Runner:
    """One subject, ready to run; and what is known of how much it takes."""

    def __init__(self, subject: Subject, device: torch.device) -> None:
        self.name, self.title = subject.name, subject.title
        self.whole = isinstance(subject, Model)
        self.device = device
        self.peer: str | None = None
        self.peer_phases: Mapping[str, Phase] = {}
        self.vocab: int | None = None
        self.width = WIDTH
        torch.manual_seed(0)
        match subject:
            case LayerKind():
                self.phases = _layer_phases(subject.stack(1, WIDTH).to(device))
                if subject.peer is not None:
                    self.peer = subject.peer.title
                    self.peer_phases = _layer_phases(subject.peer.make(WIDTH).to(device))
            case Model():
                model = subject.built(WIDTH, VOCAB).to(device)
                self.vocab = vocab_of(model)
                self.phases = {
                    FORWARD: torch.inference_mode()(teacher_forced(model)),
                    TRAINING: training_step(deepcopy(model).train()),
                    GENERATION: torch.inference_mode()(generation(model)),
                }
            case Program():
                self.width = DIM
                self.phases = _program_phases(subject.function)
        self._kept: tuple[int, int] | None = None
        self._seconds: dict[tuple[str, int], tuple[int, float]] = {}
        self.laws = self._counted() if device.type == "cpu" else {}

    def inputs(self, length: int, batch: int) -> Inputs:
        """The same each time."""
        if self.vocab is not None:
            return tuple(one.to(self.device) for one in sentences(length, self.vocab, batch))
        draw = torch.Generator().manual_seed(length)
        return (torch.randn(batch, length, self.width, generator=draw).to(self.device),)

    def fits(self, phase: str, length: int, batch: int) -> bool:
        """Whether there is room and time for it. The longer call is taken to need the square of the ratio."""
        if self._kept is not None:
            shorter, kept = self._kept
            if 2 * kept * batch * (length / shorter) ** 2 > memory(self.device) / 2:
                return False
        shorter, seconds = self._seconds.get((phase, batch), (length, 0.0))
        return seconds * length / shorter <= MOST_SECONDS

    def learn(self, phase: str, length: int, batch: int, seconds: float) -> None:
        """What it took decides whether a longer one is tried."""
        self._seconds[phase, batch] = length, seconds
        if phase == TRAINING and batch == 1:
            run, inputs = self.phases[TRAINING], self.inputs(length, 1)
            self._kept = length, kept_bytes(lambda: run(*inputs))

    def _counted(self) -> dict[str, tuple[Law, Law]]:
        """Work and span (in PRAM steps) of each phase, of one sequence."""
        found = {}
        for phase, run in self.phases.items():
            counted = growth(lambda length: self.inputs(length, 1), run, COUNTED, paths=False)
            found[phase] = counted.work, counted.span_pram
        return found


def _timed(runner: _Runner, length: int, batch: int, threads: Sequence[int]) -> Iterator[Timing]:
    for phase, run in runner.phases.items():
        if not runner.fits(phase, length, batch):
            continue
        inputs = runner.inputs(length, batch)
        peer = runner.peer_phases.get(phase)
        calls: list[Callable[[], object]] = [_call(one, inputs) for one in (run, peer) if one is not None]
        for count in threads:
            own, *others = medians(calls, threads=count, seconds=SECONDS)
            yield Timing(
                runner.name, runner.title, runner.whole, phase, length, batch, count, own, runner.peer,
                others[0] if others else None, _promised(runner.laws.get(phase), length, batch, count),
            )  # fmt: skip
        runner.learn(phase, length, batch, own)


def _call(run: Phase, inputs: Inputs) -> Callable[[], object]:
    return lambda: run(*inputs)


def _promised(laws: tuple[Law, Law] | None, length: int, batch: int, threads: int) -> float | None:
    if laws is None:
        return None
    work, span = (law.at(length) for law in laws)
    return sure_speedup(batch * work, span, threads)


def _layer_phases(layer: nn.Module) -> dict[str, Phase]:
    learning = deepcopy(layer).train()  # kernels differ: one for each way, and neither changes the other

    def step(states: Tensor) -> None:
        learning.zero_grad()
        _backward(learning, states)

    return {FORWARD: torch.inference_mode()(layer.eval()), TRAINING: step}


def _program_phases(function: Callable[[Tensor], Any]) -> dict[str, Phase]:
    """Its training step only if there is a gradient to be had."""
    phases: dict[str, Phase] = {FORWARD: torch.no_grad()(function)}
    example = torch.zeros(1, min(LENGTHS), DIM, requires_grad=True)
    if any(_learns(leaf) for leaf in tree_leaves(function(example))):
        phases[TRAINING] = partial(_backward, function)
    return phases


def _backward(function: Callable[[Tensor], Any], states: Tensor) -> None:
    result = function(states.detach().requires_grad_())
    next(leaf for leaf in tree_leaves(result) if _learns(leaf)).sum().backward()


def _learns(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad
