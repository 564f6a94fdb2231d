"""What lectures say of recurrence and attention, each claim measured: it could turn out to be false."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from atonce.layers.attention import AdditiveAttention
from atonce.measure.growth import Growth, Law, growth
from atonce.measure.ticks import Ticks, ticks
from atonce.measure.work_span import WorkSpan, work_span
from atonce.models.architectures import architecture
from atonce.models.config import RecurrentDecoderConfig
from atonce.models.recurrent import RecurrentDecoder
from atonce.models.seq2seq import Seq2Seq
from atonce.result import Result
from atonce.shapes import Float
from atonce.studies.measurement import targets
from atonce.studies.measurement.growth import connecting_depth
from atonce.studies.measurement.phases import generation, teacher_forced, training_step
from atonce.studies.measurement.targets import DIM, LayerKind, layer, sentences, sequence, small

LENGTHS = (8, 16, 32, 64)
LENGTH = 16
"""Where one length will do."""


@dataclass(frozen=True)
class Claim(Result):
    """A sentence, and what was measured of it."""

    name: str
    says: str
    found: tuple[str, ...]
    """The figures, line by line."""
    holds: bool


def claims(on_step: Callable[[], None] = lambda: None) -> Iterator[Claim]:
    """Every claim, one after another. `on_step`: called after each."""
    for check in CHECKS:
        yield check()
        on_step()


def states_are_a_chain() -> Claim:
    """Recurrence, however its cell is made."""
    found = {name: _grown(layer(name)) for name in ("rnn", "gru", "lstm")}
    return Claim(
        "states-are-a-chain",
        "A recurrent net updates its state word by word, although the whole sentence is there at once.",
        tuple(f"{name}: span {_told(one.span)}" for name, one in found.items()),
        all(one.span.law == "linear" for one in found.values()),
    )


def two_chains_side_by_side() -> Claim:
    """Both directions take twice the work and no more time."""
    one = work_span(targets.Recurrence("lstm", DIM, DIM), sequence(LENGTH), paths=False)
    both = work_span(targets.Recurrence("lstm", DIM, DIM, ways=2), sequence(LENGTH), paths=False)
    return Claim(
        "two-chains-side-by-side",
        "Reading in both directions is two chains side by side: twice the work, and no longer a wait.",
        (f"one direction: {_counts(one)}", f"both: {_counts(both)}"),
        both.span == one.span and abs(both.work / one.work - 2) < 0.01,  # and what turns one of them round
    )


def weights_of_one_step_at_once() -> Claim:
    """The α of one decoder state over ever longer sources."""
    attention = AdditiveAttention(DIM)
    state = torch.zeros(1, 1, DIM)

    def look(keys: Float[Tensor, "batch source_len dim"]) -> Float[Tensor, "batch target_len dim"]:
        return attention(state, attention.keys(keys), keys, torch.ones(keys.shape[:2], dtype=torch.bool))

    found = growth(sequence, look, LENGTHS, paths=False)
    return Claim(
        "weights-of-one-step-at-once",
        "All attention weights α of one step are computed together: a longer source costs work, not time.",
        (f"work {_told(found.work)}", f"span {_told(found.span)}"),
        found.span.law == "constant" and found.work.law == "linear",
    )


def weights_of_different_steps_wait() -> Claim:
    """Bahdanau's attention, from the state before the step, with the whole target known."""
    # Bahdanau, Cho and Bengio 2015, section 3.1: e_ij = a(s_(i-1), h_j), of the state before the step.
    found = _contexts("additive")
    return Claim(
        "weights-of-different-steps-wait",
        "The α of different steps are not computed together where they come from the state before the step "
        "(Bahdanau): each step's wait for the one before, also when the whole target is known.",
        (
            f"attention ran {found.runs['attention']} times",
            f"its mixtures are there at ticks {_list(found.by_part['attention'])}",
        ),
        found.runs["attention"] == LENGTH and _rises(found.by_part["attention"]),
    )


def luong_attends_at_once() -> Claim:
    """Luong's attention without input feeding: the states are a chain, what is done with them is not."""
    # Luong, Pham and Manning 2015, section 3.1: score(h_t, h_s), of the current state.
    found = _contexts("general")
    forced, written = (_model_growth("general", how) for how in (teacher_forced, generation))
    return Claim(
        "luong-attends-at-once",
        "Where α come from the current state and nothing is fed back (Luong), the attention of all steps is "
        "one batch in training. The states remain a chain.",
        (
            f"attention ran {found.runs['attention']} times, for {len(found.by_part['attention'])} steps",
            f"span in training {_told(forced.span)}",
            f"span in generation {_told(written.span)}",
        ),
        # Both spans are linear, as the states remain a chain: what tells them apart is the slope.
        found.runs["attention"] == 1 and forced.span.law == "linear" == written.span.law
        and forced.span.slope < written.span.slope,
    )  # fmt: skip


def transformer_trains_at_once() -> Claim:
    """Forward and backward, with all gradients."""
    # Vaswani and others 2017, table 1: O(1) sequential operations for each layer.
    found = _model_growth("transformer", training_step)
    return Claim(
        "transformer-trains-at-once",
        "A training step of the Transformer takes as many steps in a row for a long "
        "sentence as for a short one.",
        (f"span {_told(found.span)}", f"work {_told(found.work)}"),
        found.span.law == "constant",
    )


def transformer_writes_in_turn() -> Claim:
    """What most teaching leaves out."""
    transformer = _model_growth("transformer", generation)
    recurrent = _model_growth("additive", generation)
    return Claim(
        "transformer-writes-in-turn",
        "When it writes, the Transformer waits for each token as a recurrent net does, and its steps are "
        "deeper.",
        (f"Transformer: span {_told(transformer.span)}", f"recurrent net: span {_told(recurrent.span)}"),
        transformer.span.law == "linear" and transformer.span.slope > recurrent.span.slope,
    )


def distant_words() -> Claim:
    """What it takes to connect the first word with the last."""
    # Table 1 there, too: maximum path lengths of O(n), O(log n) or O(n/k), and O(1).
    recurrent, attention = _grown(layer("rnn")), _grown(layer("self-attention"))
    # Short ones: a convolution of width 3 needs as many layers as positions, less one.
    depths = {length: connecting_depth(layer("convolution"), length) for length in (4, 8, 16)}
    return Claim(
        "distant-words",
        "Distant words meet through layers in a convolution, through steps in a recurrent net, and at once "
        "in self-attention.",
        (
            f"layers of convolutions, width 3: {', '.join(f'{d} for {n} words' for n, d in depths.items())}",
            f"RNN: path {_told(recurrent.path)}",
            f"self-attention: one layer, path {_told(attention.path)}",
        ),
        all(depth == length - 1 for length, depth in depths.items())
        and recurrent.path.law == "linear"
        and attention.path.law == "constant"
        and connecting_depth(layer("self-attention"), 16) == 1,
    )


CHECKS: Sequence[Callable[[], Claim]] = (
    states_are_a_chain,
    two_chains_side_by_side,
    weights_of_one_step_at_once,
    weights_of_different_steps_wait,
    luong_attends_at_once,
    transformer_trains_at_once,
    transformer_writes_in_turn,
    distant_words,
)


def _grown(kind: LayerKind) -> Growth:
    return growth(sequence, kind.stack(1), LENGTHS)


_MODELS = {"additive": "additive-bigru", "general": "general-bilstm", "transformer": "transformer"}


def _model(name: str) -> Seq2Seq:
    """A small one; the recurrent ones without input feeding, so that nothing but attention is at issue."""
    config = architecture(_MODELS[name]).model
    if isinstance(config.decoder, RecurrentDecoderConfig):
        decoder = config.decoder.model_copy(update={"input_feeding": False})
        config = config.model_copy(update={"decoder": decoder})
    return small(config)


def _model_growth(name: str, how: Callable[[Seq2Seq], Callable[..., Any]]) -> Growth:
    # Without paths, which take memory for each position: these claims are about work and span.
    return growth(sentences, how(_model(name)), LENGTHS, paths=False)


def _contexts(name: str) -> Ticks:
    """When the mixtures of the source are there, in teacher forcing."""
    model = _model(name)
    decoder = model.decoder
    if not isinstance(decoder, RecurrentDecoder) or decoder.attention is None:
        raise TypeError(f"{name} has no attention from a recurrent decoder")
    return ticks(teacher_forced(model), sentences(LENGTH), {"attention": decoder.attention})


def _told(law: Law) -> str:
    values = ", ".join(f"{value:,}" for value in law.values.values())
    return f"{law.law} ({law}): {values} at {', '.join(map(str, law.values))}"


def _counts(one: WorkSpan) -> str:
    return f"work {one.work:,}, span {one.span:,}"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _rises(numbers: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))
