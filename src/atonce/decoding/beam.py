"""Beam search: keep the best few beginnings, and let each of them grow."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from atonce.decoding.hypothesis import (
    Hypothesis,
    Prefill,
    SpecialTokens,
    length_penalty,
    min_length_after,
    prefill,
    reorder,
    should_compact,
)
from atonce.decoding.topk import topk_continuations
from atonce.models.interface import Continuations, Decoder, Memory
from atonce.pauses import pause
from atonce.shapes import Bool, Float, Int


class Hypotheses(NamedTuple):
    """The unfinished beginnings: `width` of them for each sentence that is still searched.

    The decoder's state holds them as rows, sentence after sentence.
    """

    sentences: Int[Tensor, " sentences"]
    """Which sentence of the batch each one is."""
    tokens: Int[Tensor, "sentences width length"]
    totals: Float[Tensor, "sentences width"]
    """Log-probabilities; -inf where there are fewer beginnings than places."""


class BeamStep(NamedTuple):
    """What a step of beam search did, for whoever watches. Sentences are those that are still searched."""

    before: Hypotheses
    choice: Continuations
    """What was looked at: the best continuations of each sentence, twice as many as go on, best first."""
    after: Hypotheses
    """Those that go on."""
    ended: Hypotheses
    """Those that ended, each a sentence of its own: `sentences` says of which it is."""
    cut_off: Bool[Tensor, " sentences"]
    """Whether those that go on are as long as they may be: then they are outputs as they are."""


@torch.inference_mode()
def beam_search(
    decoder: Decoder,
    memory: Memory,
    special: SpecialTokens,
    max_lengths: Int[Tensor, " batch"],
    *,
    width: int,
    alpha: float = 1.0,
    prefix: Sequence[int] = (),
    on_step: Callable[[BeamStep], None] | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses found for each sentence, at most `width`, best first; sentences in order.

    `max_lengths`: tokens after which each output is cut off. `alpha`: exponent of the length penalty.
    `prefix`: tokens that every output begins with; at least one comes behind them. `on_step`: told of each
    step, whose tensors it must read at once.
    A sentence is done once `width` hypotheses have ended and no beginning scores better than the worst of
    them. Those that are done leave the batch, many at a time.
    """
    found: list[list[Hypothesis]] = [[] for _ in range(len(max_lengths))]
    begun = prefill(decoder, memory, special.bos, prefix)
    token, state, beams = begun.token, begun.state, _beginning(begun, prefix)
    max_lengths = min_length_after(prefix, max_lengths)
    suppress = torch.tensor(special.suppress, dtype=torch.long, device=max_lengths.device)
    for length in range(len(prefix) + 1, int(max_lengths.max()) + 1):
        features, state = decoder.advance(token, state)
        # Twice as many as go on, since each beginning may end once: `width` of them at most.
        choice = topk_continuations(decoder, features, state, beams.totals, suppress, 2 * width)
        before = beams
        beams, parents, ended = _grow(before, choice, special.eos, width)
        _collect(found, ended, alpha)
        cut_off = max_lengths[beams.sentences] <= length
        if on_step is not None:
            on_step(BeamStep(before, choice, beams, ended, cut_off))
        if cut_off.any():
            _collect(found, Hypotheses(*(part[cut_off] for part in beams)), alpha)

        is_open = [
            not over and not _is_done(found[sentence], best, length, width, alpha)
            for sentence, over, best in zip(
                beams.sentences.tolist(), cut_off.tolist(), beams.totals.amax(1).tolist(), strict=True
            )
        ]
        open_sentences = sum(is_open)
        if not open_sentences:
            break
        kept = None
        if should_compact(open_sentences, len(is_open)):
            kept = torch.tensor(is_open, device=token.device).nonzero()[:, 0]
            beams, parents = Hypotheses(*(part[kept] for part in beams)), parents[kept]
        elif open_sentences < len(is_open):
            # They stay as rows until it pays to move the others. Without a likely beginning, nothing more
            # is found.
            beams.totals[~torch.tensor(is_open, device=token.device)] = -torch.inf
        token = beams.tokens[:, :, -1].flatten()  # (sentences × width,)
        state = reorder(state, parents.flatten(), kept)
        # Between steps nothing is half done: a server lets smaller requests in here.
        pause()
    return [sorted(hypotheses, key=lambda h: -h.score)[:width] for hypotheses in found]


def _beginning(begun: Prefill, prefix: Sequence[int]) -> Hypotheses:
    """One beginning for each sentence: what is forced."""
    count, device = len(begun.token), begun.token.device
    return Hypotheses(
        torch.arange(count, device=device),
        torch.tensor(prefix, dtype=torch.long, device=device).expand(count, 1, -1),
        begun.totals,
    )


def _grow(
    beams: Hypotheses, choice: Continuations, eos: int, width: int
) -> tuple[Hypotheses, Int[Tensor, "sentences width"], Hypotheses]:
    """Add a token to each beginning, as chosen.

    Returns the best `width` new beginnings that go on, the row each one's parent has in the decoder's state,
    and those that ended among the best `width`.
    """
    sentences, places = beams.totals.shape
    best, place, token = choice  # each (sentences, 2 × width), best first
    # (sentences, 2 × width, length + 1): what each continues, and its new token.
    grown = torch.cat(
        [beams.tokens.gather(1, place[..., None].expand(-1, -1, beams.tokens.shape[2])), token[..., None]], -1
    )
    is_end = token == eos

    # An end beyond the best `width` is no hypothesis: a better beginning than it goes on in its place.
    ended_here = is_end[:, :width] & best[:, :width].isfinite()
    sentence, rank = ended_here.nonzero(as_tuple=True)
    ended = Hypotheses(
        beams.sentences[sentence], grown[sentence, rank][:, None], best[sentence, rank][:, None]
    )

    goes_on = best.masked_fill(is_end, -torch.inf)
    # A table with one place and few tokens has fewer continuations than the beam is wide.
    kept, order = goes_on.topk(min(width, goes_on.shape[1]), dim=1)
    # From places within a sentence to rows of the decoder's state, which has sentence after sentence.
    first_rows = torch.arange(sentences, device=place.device)[:, None] * places
    parents = first_rows + place.gather(1, order)
    kept_tokens = grown.gather(1, order[..., None].expand(-1, -1, grown.shape[2]))
    return Hypotheses(beams.sentences, kept_tokens, kept), parents, ended


def _collect(found: list[list[Hypothesis]], beams: Hypotheses, alpha: float) -> None:
    """Add what is in `beams` to the hypotheses found for each sentence."""
    for sentence, rows, totals in zip(*(part.tolist() for part in beams), strict=True):
        for row, total in zip(rows, totals, strict=True):
            # A place of the beam without a beginning.
            if total > -torch.inf:
                score = total / length_penalty(len(row), alpha)
                found[sentence].append(Hypothesis(tuple(row), total, score))


def _is_done(found: list[Hypothesis], best_total: float, length: int, width: int, alpha: float) -> bool:
    """Whether no beginning, best of which is `best_total`, is worth going on with."""
    if best_total == -torch.inf:
        return True
    if len(found) < width:
        return False
    # Of a beginning the log-probability only falls, but a longer one is divided by more: it could still win.
    # Like most, this takes the penalty of the present length, and stops a little early.
    worst_kept = sorted((hypothesis.score for hypothesis in found), reverse=True)[width - 1]
    return best_total / length_penalty(length, alpha) <= worst_kept
