"""Work and span of one call: how many operations it takes, and how many in a row wait for one another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from atonce.measure.call import tensors_in
from atonce.measure.chain import Chains, Step
from atonce.measure.shadows import FIRST_PATH, Shadows
from atonce.measure.side_channels import tracing
from atonce.measure.tracer import OpTracer, along, shadow_paths
from atonce.seeds import torch_seed
from atonce.shapes import Float


@dataclass(frozen=True, eq=False)
class WorkSpan:
    """What was measured of one call."""

    work: int
    """Operations on single numbers: additions, multiplications, function values."""
    products: int
    """Of these, how many are in matrix products and convolutions."""
    operations: int
    """Operations on tensors: the work where each costs 1, however large."""
    span: int
    """The longest chain of operations each of which needs the one before; each operation on tensors is one
    step, as Vaswani 2017, table 1, counts."""
    span_pram: int
    """The same, where an operation that joins n numbers into one is 1 + ⌈log2 n⌉ steps."""
    critical_path: tuple[Step, ...] = field(repr=False)
    """The operations of a longest chain, in order; without where nothing was followed."""
    paths: Float[Tensor, "inputs outputs"] | None = field(repr=False)
    """The shortest chain from each position of the input to each of the output; infinite where the output
    cannot depend on the input."""
    unknown: Mapping[str, int]
    """Operations that no rule describes, and how often they ran. For each, everything was taken to depend on
    everything, so the span may be too long."""
    wide: Mapping[str, int]
    """Operations that a rule describes, but not number by number, and how often they ran: those of sparse
    tensors, and those that give as many results as they find. Here, too, everything waits for everything.
    And those in which a mask is lost, "(of a mask)": what it had put far from zero counts as open again."""
    reads: int
    """How often Python read a number that can differ from run to run. Everything after that waits for it."""

    @property
    def parallelism(self) -> float:
        """How many processors could be kept busy: work by span (in PRAM steps)."""
        # Not by the unit span: there a sum of any length is one step, and would keep any number busy.
        return self.work / max(1, self.span_pram)

    @property
    def path(self) -> int | None:
        """The longest of the shortest chains between positions that are connected; None if no two are."""
        if self.paths is None or not self.paths.isfinite().any():
            return None
        return int(self.paths[self.paths.isfinite()].max())

    @property
    def connected(self) -> float:
        """The share of pairs of positions in which the output can depend on the input."""
        return 0.0 if self.paths is None else float(self.paths.isfinite().double().mean())


def work_span(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    paths: bool = True,
    follow: bool = True,
    position_dim: int = 1,
    seed: int = 0,
) -> WorkSpan:
    """Call `function(*inputs)` once and measure it.

    It may be anything that computes with torch on the CPU, a training step with its backward pass too. It
    runs as it is, with fused kernels taken apart. Truth values and what is below -5,000 among the inputs and
    weights are taken for masks, which are the same in every run; all other numbers may be anything moderate.
    Raises AtonceError for what is computed where it cannot be seen: in another process, while torch records.

    `paths`: measure the shortest chain from each position of the first tensor among the inputs to each of
    the first that comes out, which takes time and memory for each position; positions are along
    `position_dim` (of a tensor of one dimension, along that). `follow`: name the operations of the longest
    chain. `seed`: of torch's random numbers, while it runs.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    first = next(iter(tensors_in(arguments)), None)
    marked = None
    if paths and first is not None and first.dim() and first.numel():
        dim = along(first, position_dim)
        marked = torch.arange(first.shape[dim]).view(-1, *(1,) * (first.dim() - 1 - dim)).expand(first.shape)
    # A channel for each position of the input: what paths cost in memory, whatever the program does.
    shadows = Shadows(FIRST_PATH + (0 if marked is None else int(marked.max()) + 1))
    if marked is not None and first is not None:
        shadows.mark(first, marked)
    chains = Chains() if follow else None
    tracer = OpTracer(shadows, chains)
    # The caller's random numbers stay as they were: to measure a model must not change its training.
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which without a GPU takes note of the whole stack for each kind of them.
        torch.default_generator.manual_seed(torch_seed(seed))
        with tracing(tracer):
            result = function(*arguments)
    output = next(iter(tensors_in(result)), None)
    return WorkSpan(
        work=tracer.work,
        products=tracer.products,
        operations=tracer.operations,
        span=tracer.span,
        span_pram=tracer.span_pram,
        critical_path=() if chains is None else chains.steps(tracer.last_link),
        paths=None if marked is None or output is None else _distances(tracer, output, position_dim),
        unknown=dict(tracer.unknown),
        wide=dict(tracer.wide),
        reads=tracer.reads,
    )


def _distances(tracer: OpTracer, output: Tensor, dim: int) -> Float[Tensor, "inputs outputs"]:
    # What the program does with what it has read, such as to choose what to give back, waits for it, too.
    steps = shadow_paths(tracer.shadows, output, along(output, dim), tracer.known)
    return torch.where(steps < 0, torch.inf, steps.double())  # -1: no chain leads there
