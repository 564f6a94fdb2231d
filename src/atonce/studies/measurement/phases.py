"""How targets are run: a model learns and writes, a layer reads; and all of them made ready to be timed."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from atonce.models.seq2seq import Seq2Seq
from atonce.shapes import Float, Int
from atonce.studies.measurement.targets import DIM, LayerKind, Model, Program, Target, sentences, vocab_of

WIDTH, VOCAB = 128, 1000
"""What is timed must be as wide as what is used, or the clock would show little but the start of kernels."""

FORWARD, TRAINING, GENERATION = "forward", "training step", "generation"

Inputs = tuple[Tensor, ...]
Tokens = Int[Tensor, "batch length"]
Scores = Float[Tensor, "batch length vocab"]


def teacher_forced(model: Seq2Seq) -> Callable[[Tokens, Tokens], Scores]:
    """Scores of every token of a known target, as in training."""

    def run(source: Tokens, target: Tokens) -> Scores:
        return model.decoder.logits(model(source, torch.ones_like(source, dtype=torch.bool), target))

    return run


def training_step(model: Seq2Seq) -> Callable[[Tokens, Tokens], Scores]:
    """The same, with the gradients of all weights."""
    scores = teacher_forced(model)

    def run(source: Tokens, target: Tokens) -> Scores:
        model.zero_grad()  # or the sum with what is left of the step before would be measured too
        found = scores(source, target)
        (-found.log_softmax(-1).gather(2, target[..., None]).mean()).backward()
        return found

    return run


def generation(model: Seq2Seq) -> Callable[[Tokens, Tokens], Tokens]:
    """As many tokens as the target has, each the likeliest after those before."""

    @torch.no_grad()
    def run(source: Tokens, target: Tokens) -> Tokens:
        # Greedily, and never to an end: the same number of steps whatever the weights are.
        memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
        state = model.decoder.start(memory)
        token, tokens = target[:, 0], []
        for _ in range(target.shape[1]):
            scores, state = model.decoder.step(token, state)
            token = scores.argmax(-1)
            tokens.append(token)
        return torch.stack(tokens, dim=1)

    return run


@dataclass(frozen=True)
class Runner:
    """What can be called at any length and batch."""

    name: str
    title: str
    phases: Mapping[str, Callable[..., object]]
    inputs: Callable[[int, int], Inputs]
    """Of a length and a batch, the same each time."""
    whole: bool = False
    """Whether it is a whole model."""
    peer: "Runner | None" = None
    """What of torch's own does the like, with the same inputs."""

    def call(self, phase: str, length: int, batch: int) -> Callable[[], object]:
        """The phase on inputs that are there already."""
        return partial(self.phases[phase], *self.inputs(length, batch))


def runner_of(target: Target, device: torch.device) -> Runner:
    """The target on this device, with random weights if it has none of its own."""
    torch.manual_seed(0)
    match target:
        case LayerKind(name=name, title=title, peer=peer):
            vectors = partial(_vectors, width=WIDTH, device=device)
            other = None
            if peer is not None:
                other = Runner(peer.title, peer.title, _layer_phases(peer.make(WIDTH).to(device)), vectors)
            own = _layer_phases(target.stack(1, WIDTH).to(device))
            return Runner(name, title, own, vectors, peer=other)
        case Model(name=name, title=title):
            model = target.built(WIDTH, VOCAB).to(device)
            phases = {
                FORWARD: torch.inference_mode()(teacher_forced(model)),
                # A copy, as kernels differ: fused ones for inference know no gradients.
                TRAINING: training_step(deepcopy(model).train()),
                GENERATION: torch.inference_mode()(generation(model)),
            }
            # Its own vocabulary: of a run folder it is the one that was trained, and not VOCAB.
            tokens = partial(_tokens, vocab=vocab_of(model), device=device)
            return Runner(name, title, phases, tokens, whole=True)
        # In the width DIM of what is counted: a user's function need not take any other.
        case Program(name=name, title=title):
            return Runner(name, title, _program_phases(target), partial(_vectors, width=DIM, device=device))


def _vectors(length: int, batch: int, *, width: int, device: torch.device) -> Inputs:
    draw = torch.Generator().manual_seed(length)
    return (torch.randn(batch, length, width, generator=draw).to(device),)


def _tokens(length: int, batch: int, *, vocab: int, device: torch.device) -> Inputs:
    return tuple(one.to(device) for one in sentences(length, vocab, batch))


def _layer_phases(layer: nn.Module) -> dict[str, Callable[..., object]]:
    learning = deepcopy(layer).train()  # kernels differ: one for each way, and neither changes the other

    def step(states: Float[Tensor, "batch length dim"]) -> None:
        # Otherwise every call but the first would add to gradients that are there: more work.
        learning.zero_grad()
        _backward(learning, states)

    return {FORWARD: torch.inference_mode()(layer.eval()), TRAINING: step}


def _program_phases(program: Program) -> dict[str, Callable[..., object]]:
    """Its training step only if there is a gradient to be had. Raises RecipeError if it takes no batches."""
    phases: dict[str, Callable[..., object]] = {FORWARD: torch.no_grad()(program.function)}
    # Tried once on something small, as a user's mistake should not be met after minutes of timing others.
    with program.blamed(f"(batch, length, {DIM})"):
        leaves = tree_leaves(program.function(torch.zeros(2, 8, DIM, requires_grad=True)))
    if any(map(_learns, leaves)):
        phases[TRAINING] = partial(_backward, program.function)
    return phases


def _backward(function: Callable[[Tensor], Any], states: Float[Tensor, "batch length dim"]) -> None:
    # By its input, too: a function without weights has no other gradient.
    result = function(states.detach().requires_grad_())
    # The first that has a gradient: torch's recurrent layers give their last state beside the states.
    next(leaf for leaf in tree_leaves(result) if _learns(leaf)).sum().backward()


def _learns(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad
